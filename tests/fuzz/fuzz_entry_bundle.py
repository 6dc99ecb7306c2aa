"""Entry bundles of a tiled log, and the names of its tiles."""

from schemas.audit.entry import leaf_of, reference_in
from schemas.errors import PeerError
from schemas.tlog.tiles import encode_bundle, parse_bundle, parse_tile_path

SEEDS = [
    encode_bundle([b"one", b"", b"three"]),
    encode_bundle([leaf_of(bytes(70_000))[0], b"x", b"y"]),
    b"tile/entries/x001/x234/067.p/7",
]


def one(data: bytes) -> None:
    try:
        leaves = parse_bundle(data, 3)
    except PeerError:
        path = data.decode("latin-1")
        assert parse_tile_path(path).path == path
        return
    assert encode_bundle(leaves) == data
    for leaf in leaves:
        reference = reference_in(leaf)
        assert reference is None or len(leaf) < reference.length
