"""The Merkle tree against RFC 6962's own words: recursive, slow, written here from the definitions."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import PeerError
from schemas.tlog import merkle
from schemas.tlog.tiles import ENTRIES, MAX_TILE_BYTES, TILE_WIDTH, Tile, TileHashes, parse_tile_path, tiles_between

LEAVES = [merkle.leaf_hash(b"entry %d" % number) for number in range(1500)]
ALL_SIZES = 300


def split(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def mth(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


def read(level: int, index: int) -> bytes:
    return mth(LEAVES[index << level : (index + 1) << level])


def test_the_frontier_has_the_root_of_every_size() -> None:
    frontier = merkle.Frontier()
    for size in range(ALL_SIZES):
        assert frontier.root() == mth(LEAVES[:size]) == merkle.root_of(size, read)
        assert frontier.hashes == merkle.Frontier.of(size, read).hashes
        frontier.append(LEAVES[size])


def test_the_roots_that_rfc_6962_logs_agree_on() -> None:
    frontier = merkle.Frontier()
    frontier.append(merkle.leaf_hash(b""))
    assert frontier.root().hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    for entry in ("00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"):
        frontier.append(merkle.leaf_hash(bytes.fromhex(entry)))
    assert frontier.root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@pytest.mark.parametrize("size", range(1, 70))
def test_every_inclusion_proof_of_small_trees(size: int) -> None:
    root = mth(LEAVES[:size])
    for index in range(size):
        proof = merkle.prove_inclusion(index, size, read)
        assert list(proof) == path(index, LEAVES[:size])
        merkle.verify_inclusion(LEAVES[index], index, size, root, proof)


@pytest.mark.parametrize("size", range(1, 70))
def test_every_consistency_proof_of_small_trees(size: int) -> None:
    root = mth(LEAVES[:size])
    for old in range(size + 1):
        proof = merkle.prove_consistency(old, size, read)
        assert list(proof) == (subproof(old, LEAVES[:size], whole=True) if old else [])
        merkle.verify_consistency(old, mth(LEAVES[:old]), size, root, proof)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_larger_trees(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(LEAVES)))
    old = data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, size - 1))
    root = mth(LEAVES[:size])
    inclusion, consistency = merkle.prove_inclusion(index, size, read), merkle.prove_consistency(old, size, read)
    assert list(inclusion) == path(index, LEAVES[:size])
    assert list(consistency) == subproof(old, LEAVES[:size], whole=True)
    merkle.verify_inclusion(LEAVES[index], index, size, root, inclusion)
    merkle.verify_consistency(old, mth(LEAVES[:old]), size, root, consistency)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_changed_inclusion_proof_holds(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 200))
    index = data.draw(st.integers(0, size - 1))
    root, proof = mth(LEAVES[:size]), list(path(index, LEAVES[:size]))
    other_index = data.draw(st.integers(0, size - 1).filter(lambda each: each != index)) if size > 1 else 1
    wrong = [
        (LEAVES[index + 1], index, size, root, proof),
        (LEAVES[index], other_index, size, root, proof),
        (LEAVES[index], index, size, LEAVES[-1], proof),
        (LEAVES[index], index, size, root, [*proof, LEAVES[0]]),
        (LEAVES[index], index, size, root, [LEAVES[0], *proof]),
        (LEAVES[index], size, size, root, proof),
        (LEAVES[index][:31], index, size, root, proof),
    ]
    if proof:
        place, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        flipped = bytearray(proof[place])
        flipped[bit // 8] ^= 1 << bit % 8
        wrong.append((LEAVES[index], index, size, root, [*proof[:place], bytes(flipped), *proof[place + 1 :]]))
        wrong.append((LEAVES[index], index, size, root, proof[:-1]))
        wrong.append((LEAVES[index], index, size, root, proof[1:]))
    for each in wrong:
        with pytest.raises(PeerError, match="audit-proof-invalid"):
            merkle.verify_inclusion(*each)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_changed_consistency_proof_holds(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 200))
    old = data.draw(st.integers(1, size - 1))
    roots = mth(LEAVES[:old]), mth(LEAVES[:size])
    proof = subproof(old, LEAVES[:size], whole=True)
    place, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    flipped = bytearray(proof[place])
    flipped[bit // 8] ^= 1 << bit % 8
    edited = mth([*LEAVES[: old - 1], LEAVES[-1]])
    wrong = [
        (old, roots[0], size, roots[1], [*proof[:place], bytes(flipped), *proof[place + 1 :]]),
        (old, roots[0], size, roots[1], proof[:-1]),
        (old, roots[0], size, roots[1], [*proof, LEAVES[0]]),
        (old, edited, size, roots[1], proof),
        (old, roots[0], size, LEAVES[0], proof),
        (size, roots[1], old, roots[0], proof),
        (old, roots[0], old, roots[1], ()),
        (0, roots[0], size, roots[1], ()),
        (0, merkle.EMPTY_ROOT, size, roots[1], proof),
    ]
    for each in wrong:
        with pytest.raises(PeerError, match="audit-proof-invalid"):
            merkle.verify_consistency(*each)


def tiles_of(size: int) -> dict[Tile, bytes]:
    """The tiles of hashes by C2SP's formal definition."""
    tiles = {}
    for level in range(3):
        count = size >> 8 * level
        for start in range(0, count, TILE_WIDTH):
            hashes = [read(8 * level, index) for index in range(start, min(count, start + TILE_WIDTH))]
            tiles[Tile(level=level, index=start // TILE_WIDTH, width=len(hashes))] = b"".join(hashes)
    return tiles


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 700, 1300])
def test_tiles_serve_proofs(size: int) -> None:
    tiles = tiles_of(size)
    assert {tile for tile in tiles_between(0, size) if tile.level != ENTRIES} == set(tiles)
    hashes = TileHashes(size, lambda tile: tiles[tile])
    assert merkle.root_of(size, hashes) == mth(LEAVES[:size])
    for index in {0, size // 2, size - 1}:
        assert list(merkle.prove_inclusion(index, size, hashes)) == path(index, LEAVES[:size])
    for old in {1, size // 3 or 1, size}:
        assert list(merkle.prove_consistency(old, size, hashes)) == subproof(old, LEAVES[:size], whole=True)
    with pytest.raises(PeerError):
        hashes(0, size)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_what_changes_between_two_sizes(first: int, second: int) -> None:
    old, new = sorted((first, second))
    assert set(tiles_between(old, new)) == set(tiles_between(0, new)) - set(tiles_between(0, old))


@given(st.integers(-1, 63), st.integers(0, 2**55 - 1), st.integers(1, 256))
def test_a_path_names_one_tile(level: int, index: int, width: int) -> None:
    tile = Tile(level=level, index=index, width=width)
    assert parse_tile_path(tile.path) == tile


def test_the_paths_of_the_specification() -> None:
    assert Tile(level=0, index=1234067).path == "tile/0/x001/x234/067"
    assert Tile(level=ENTRIES, index=0, width=5).path == "tile/entries/000.p/5"
    # A tree of 70,000: 273 full tiles of level 0, one of 112; one full tile of level 1, one of 17; one hash at level 2.
    widths = {(tile.level, tile.index): tile.width for tile in tiles_between(0, 70_000) if tile.level != ENTRIES}
    assert (widths[0, 273], widths[1, 0], widths[1, 1], widths[2, 0], len(widths)) == (112, 256, 17, 1, 277)
    assert MAX_TILE_BYTES == 8192


@pytest.mark.parametrize(
    "path",
    [
        *("tile/0/000.p/256", "tile/0/000.p/0", "tile/0/000.p/01", "tile/00/000", "tile/0/0", "tile/0/x000/000"),
        *("tile/0/001/000", "tile/64/000", "tile/-1/000", "tile/0/000.p/", "tiles/0/000", "tile/0", "", "tile/0/١٢٣"),
        "tile/0/" + "x999/" * 40 + "999",
    ],
)
def test_no_other_path_names_a_tile(path: str) -> None:
    with pytest.raises(PeerError, match="malformed"):
        parse_tile_path(path)
