"""A Merkle log as static files: tiles of hashes and bundles of entries (C2SP tlog-tiles).

A tile of level ``L`` holds up to 256 hashes of complete subtrees of level ``8 * L``, in order; a bundle holds up to 256
entries. A full tile or bundle never changes. The last one of each level grows, and its name states its width. A narrow
tile is the beginning of each wider tile with the same index, so the files of the newest tree serve every older tree.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.codecs.reader import Reader
from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.tlog.merkle import HASH_BYTES, node_hash

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 256
ENTRIES: Final = -1  # the "level" of entry bundles
MAX_LEVEL: Final = 63
MAX_LEAF_BYTES: Final = 65_535  # a leaf's length is a uint16
MAX_TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (2 + MAX_LEAF_BYTES)
_MAX_INDEX: Final = 2**55 - 1
_GROUP: Final = 1000
_GROUP_DIGITS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """Coordinates of a tile of hashes, or of a bundle of entries.

    Attributes:
        level: 0 for hashes of leaves, L for hashes of full tiles of level L - 1; :data:`ENTRIES` for a bundle.
        index: its number within the level.
        width: hashes or entries in it, 1 to 256.
    """

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not (ENTRIES <= self.level <= MAX_LEVEL and 0 <= self.index <= _MAX_INDEX and 1 <= self.width <= TILE_WIDTH):
            raise PeerError(Reason.MALFORMED, f"tile {self.level}/{self.index}, width {self.width}: no such tile")

    @property
    def full(self) -> "Tile":
        """The full tile with these coordinates."""
        return Tile(level=self.level, index=self.index)

    @property
    def partial(self) -> bool:
        """Whether it may still grow."""
        return self.width < TILE_WIDTH

    @property
    def path(self) -> str:
        """The path below the log's prefix."""
        groups, rest = [f"{self.index % _GROUP:03}"], self.index // _GROUP
        while rest:
            groups.append(f"x{rest % _GROUP:03}")
            rest //= _GROUP
        level = "entries" if self.level == ENTRIES else str(self.level)
        suffix = f".p/{self.width}" if self.partial else ""
        return f"tile/{level}/{'/'.join(reversed(groups))}{suffix}"


def parse_tile_path(path: str) -> Tile:
    """The coordinates in a path. Each tile has one path.

    Raises:
        PeerError: ``malformed``.
    """
    stem, partial, width = path.partition(".p/")
    prefix, _, rest = stem.partition("/")
    level, _, digits = rest.partition("/")
    index = digits.replace("/", "").replace("x", "")
    numbers = (level if level != "entries" else "0", index, width if partial else "1")
    if prefix != "tile" or not all(number.isascii() and number.isdecimal() for number in numbers):
        raise PeerError(Reason.MALFORMED, f"{path[:80]!r}: not the path of a tile")
    if max(map(len, numbers)) > len(str(_MAX_INDEX)) + _GROUP_DIGITS:
        raise PeerError(Reason.MALFORMED, f"{path[:80]!r}: not the path of a tile")
    tile = Tile(
        level=ENTRIES if level == "entries" else int(level),
        index=int(index),
        width=int(width) if partial else TILE_WIDTH,
    )
    if tile.path != path:
        raise PeerError(Reason.MALFORMED, f"{path[:80]!r}: not canonical, expected {tile.path}")
    return tile


def tile_at(level: int, index: int, size: int) -> Tile:
    """A tile or bundle, as wide as it is in a tree of ``size`` leaves.

    Raises:
        PeerError: ``malformed`` if such a tree does not have it.
    """
    count = size >> (TILE_HEIGHT * max(level, 0))
    return Tile(level=level, index=index, width=min(TILE_WIDTH, count - index * TILE_WIDTH))


def tiles_between(old_size: int, new_size: int) -> Iterator[Tile]:
    """The tiles and bundles that a tree of ``new_size`` leaves has and a tree of ``old_size`` leaves does not have.

    Bundles come first, then tiles by level. Partial tiles of the sizes in between are left out.
    """
    for level in range(ENTRIES, MAX_LEVEL + 1):
        shift = TILE_HEIGHT * max(level, 0)
        old, new = old_size >> shift, new_size >> shift
        if new == 0:
            return
        if old == new:
            continue
        for index in range(old // TILE_WIDTH, (new + TILE_WIDTH - 1) // TILE_WIDTH):
            yield Tile(level=level, index=index, width=min(TILE_WIDTH, new - index * TILE_WIDTH))


class TileHashes:
    """A hash reader over the tiles of a tree of one size. It keeps the tiles that it has read.

    The hashes are not verified: compare a root that is made from them with a signed checkpoint.
    """

    def __init__(self, size: int, read: Callable[[Tile], bytes]) -> None:
        """Reads nothing yet.

        Args:
            size: leaves in the tree.
            read: returns the bytes of a tile, as wide as its argument states.
        """
        self.size = size
        self._read = read
        self._tiles: dict[tuple[int, int], bytes] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree of the tree.

        Raises:
            PeerError: ``malformed`` if it is not in the tree, or its tile has another length.
        """
        tile_level, height = divmod(level, TILE_HEIGHT)
        first = index << height
        hashes = self._tile(tile_level, first // TILE_WIDTH)
        start = first % TILE_WIDTH * HASH_BYTES
        end = start + (HASH_BYTES << height)
        if end > len(hashes):
            raise PeerError(Reason.MALFORMED, f"subtree {level}/{index} is not within {self.size} leaves")
        return subtree_root(hashes[start:end])

    def _tile(self, level: int, index: int) -> bytes:
        content = self._tiles.get((level, index))
        if content is None:
            tile = tile_at(level, index, self.size)
            content = self._read(tile)
            if len(content) != tile.width * HASH_BYTES:
                raise PeerError(Reason.MALFORMED, f"{tile.path}: {len(content)} bytes, expected {tile.width} hashes")
            self._tiles[level, index] = content
        return content


def subtree_root(hashes: bytes) -> bytes:
    """The root over concatenated hashes. Their number is a power of two."""
    row = [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]
    while len(row) > 1:
        row = [node_hash(row[place], row[place + 1]) for place in range(0, len(row), 2)]
    return row[0]


def encode_bundle(leaves: Sequence[bytes]) -> bytes:
    """The bundle of up to 256 leaves, each of at most :data:`MAX_LEAF_BYTES`."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def parse_bundle(raw: bytes, width: int) -> tuple[bytes, ...]:
    """The leaves of a bundle.

    Args:
        raw: the bundle's bytes.
        width: the number of leaves that it must hold.

    Raises:
        PeerError: ``malformed`` if it holds fewer or more.
    """
    reader = Reader(raw, "big")
    leaves = tuple(reader.sized(2, MAX_LEAF_BYTES, "entry bundle") for _ in range(width))
    reader.finish("entry bundle")
    return leaves
