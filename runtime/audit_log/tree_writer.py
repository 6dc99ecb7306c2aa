"""Grows the tree in a store: blobs, then entry bundles, then tiles of hashes; each durable before the next is written.

What is written is decided by the entries alone, so a growth that was cut short is repeated with the same bytes, and
what it left behind is the same, or the beginning of what comes. What is there with other content is another writer's,
and is not touched. Nothing counts before a checkpoint says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from runtime.audit_log.store import AuditLogStore, create
from runtime.audit_log.tile_log import AuditLogReader
from schemas.audit.entry import leaf_of
from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.tlog.merkle import HASH_BYTES, Frontier, leaf_hash
from schemas.tlog.tiles import ENTRIES, TILE_HEIGHT, TILE_WIDTH, Tile, encode_bundle, subtree_root, tile_at

_LEVELS: Final = 8  # 256**8 leaves


@dataclass(slots=True)
class _Growth:
    """What one growth writes, in order, and the edge after it."""

    leaves: list[bytes]  # of the last bundle
    edge: list[bytes]  # hashes of the last tile of each level, one after the other
    frontier: Frontier
    blobs: list[tuple[str, bytes]] = field(default_factory=list)
    bundles: dict[Tile, bytes] = field(default_factory=dict)
    tiles: dict[Tile, bytes] = field(default_factory=dict)


class TreeWriter:
    """The right edge of the tree, and how it grows. Owned by one thread."""

    def __init__(self, store: AuditLogStore, size: int, root: bytes) -> None:
        """Reads the right edge of the tree of ``size`` leaves.

        Args:
            store: where the tree lies.
            size: leaves in it.
            root: its root, as it was signed.

        Raises:
            PeerError: what lies there is not that tree: ``audit-log-truncated``, ``audit-log-altered``, ``malformed``.
            WorldError: ``store-unavailable``.
        """
        self._store = store
        reader = AuditLogReader(store)
        self._frontier = Frontier.of(size, reader.hashes(size))
        if self._frontier.root() != root:
            problem = f"{store.name}: the tree of {size} entries has not the root that was signed"
            raise PeerError(Reason.AUDIT_LOG_ALTERED, problem)
        self._edge = [_edge(reader, level, size) for level in range(_LEVELS)]
        first = size // TILE_WIDTH * TILE_WIDTH
        self._leaves = [leaf for _, leaf in reader.leaves(first, size)]
        if b"".join(map(leaf_hash, self._leaves)) != self._edge[0]:
            raise PeerError(Reason.AUDIT_LOG_ALTERED, f"{store.name}: the last entries are not those that were hashed")

    @property
    def size(self) -> int:
        """Leaves in the tree."""
        return self._frontier.size

    @property
    def root(self) -> bytes:
        """Of the tree as it is now."""
        return self._frontier.root()

    def grow(self, entries: Sequence[bytes]) -> None:
        """Adds entries; when it returns they are in durable tiles.

        Raises:
            PeerError: ``too-large``: an entry that no log takes.
            ConfigError: another writer has grown the tree.
            WorldError: ``store-unavailable``; the tree is as before, call again with the same entries, or more.
        """
        old_size = self.size
        growth = _Growth(
            leaves=list(self._leaves),
            edge=list(self._edge),
            frontier=Frontier(self.size, self._frontier.hashes),
        )
        for entry in entries:
            _add(growth, entry)
        _close(growth)
        for path, content in growth.blobs:
            create(self._store, path, content)
        for tiles in (growth.bundles, growth.tiles):
            for tile, content in tiles.items():
                create(self._store, tile.path, content)
        self._leaves, self._edge, self._frontier = growth.leaves, growth.edge, growth.frontier
        for tile in _outgrown(old_size, self.size):
            for width in self._store.list(f"{tile.path}.p"):
                self._store.remove(f"{tile.path}.p/{width}")


def _edge(reader: AuditLogReader, level: int, size: int) -> bytes:
    width = (size >> TILE_HEIGHT * level) % TILE_WIDTH
    return reader.tile(tile_at(level, (size >> TILE_HEIGHT * level) // TILE_WIDTH, size)) if width else b""


def _add(growth: _Growth, entry: bytes) -> None:
    leaf, reference = leaf_of(entry)
    if reference is not None:
        growth.blobs.append((reference.path, entry))
    index = growth.frontier.size // TILE_WIDTH
    hashed = leaf_hash(leaf)
    growth.frontier.append(hashed)
    growth.leaves.append(leaf)
    if len(growth.leaves) == TILE_WIDTH:
        growth.bundles[Tile(level=ENTRIES, index=index)] = encode_bundle(growth.leaves)
        growth.leaves = []
    for level in range(_LEVELS):
        growth.edge[level] += hashed
        if len(growth.edge[level]) < TILE_WIDTH * HASH_BYTES:
            return
        growth.tiles[Tile(level=level, index=index)] = growth.edge[level]
        hashed, index = subtree_root(growth.edge[level]), index // TILE_WIDTH
        growth.edge[level] = b""


def _close(growth: _Growth) -> None:
    """What is partial at the end."""
    size = growth.frontier.size
    if growth.leaves:
        growth.bundles[tile_at(ENTRIES, size // TILE_WIDTH, size)] = encode_bundle(growth.leaves)
    for level, hashes in enumerate(growth.edge):
        if hashes:
            growth.tiles[tile_at(level, (size >> TILE_HEIGHT * level) // TILE_WIDTH, size)] = hashes


def _outgrown(old_size: int, new_size: int) -> Iterator[Tile]:
    """The tiles and bundles that have become full: their partial forms are not needed any more."""
    for level in range(ENTRIES, _LEVELS):
        shift = TILE_HEIGHT * max(level, 0)
        for index in range((old_size >> shift) // TILE_WIDTH, (new_size >> shift) // TILE_WIDTH):
            yield Tile(level=level, index=index)
