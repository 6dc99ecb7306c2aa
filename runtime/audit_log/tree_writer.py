"""Grows the tree in a store: blobs, then entry bundles, then hash tiles; each kind is durable before the next.

The entries alone determine the written bytes, so an interrupted append is simply repeated and writes the same bytes. If
an object exists with different content, another writer made it, and it is left alone. Nothing that is written here is
valid before a checkpoint covers it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from runtime.audit_log.log_reader import AuditLogReader
from runtime.audit_log.store import AuditLogStore, create
from schemas.audit.entry import leaf_of
from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.tlog.merkle import HASH_BYTES, Frontier, leaf_hash
from schemas.tlog.tiles import ENTRIES, TILE_HEIGHT, TILE_WIDTH, Tile, encode_bundle, subtree_root, tile_at

_LEVELS: Final = 8  # 256**8 leaves


@dataclass(slots=True)
class _Growth:
    """The objects that one append writes, in order, and the tree's right edge after it."""

    leaves: list[bytes]  # leaves of the last bundle
    edge: list[bytes]  # the concatenated hashes of the last tile of each level
    frontier: Frontier
    blobs: list[tuple[str, bytes]] = field(default_factory=list)
    bundles: dict[Tile, bytes] = field(default_factory=dict)
    tiles: dict[Tile, bytes] = field(default_factory=dict)


class TreeWriter:
    """Holds the right edge of the tree and appends to it. Owned by one thread."""

    def __init__(self, store: AuditLogStore, size: int, root: bytes) -> None:
        """Reads the right edge of the tree of ``size`` leaves.

        Args:
            store: of the audit log.
            size: leaves in the tree.
            root: its signed root.

        Raises:
            PeerError: the store does not hold that tree: ``audit-log-truncated``, ``audit-log-altered``, ``malformed``.
            WorldError: ``store-unavailable``.
        """
        self._store = store
        reader = AuditLogReader(store)
        self._frontier = Frontier.of(size, reader.hashes(size))
        if self._frontier.root() != root:
            problem = f"{store.name}: the tree of {size} entries does not have the root that was signed"
            raise PeerError(Reason.AUDIT_LOG_ALTERED, problem)
        self._edge = [_edge(reader, level, size) for level in range(_LEVELS)]
        first = size // TILE_WIDTH * TILE_WIDTH
        self._leaves = [leaf for _, leaf in reader.leaves(first, size)]
        if b"".join(map(leaf_hash, self._leaves)) != self._edge[0]:
            raise PeerError(Reason.AUDIT_LOG_ALTERED, f"{store.name}: the last entries do not match their hashes")

    @property
    def size(self) -> int:
        """Leaves in the tree."""
        return self._frontier.size

    @property
    def root(self) -> bytes:
        """The root of the current tree."""
        return self._frontier.root()

    def grow(self, entries: Sequence[bytes]) -> None:
        """Appends entries. When it returns, they are in durable tiles.

        Raises:
            PeerError: ``too-large``: an entry is too large for an audit log.
            ConfigError: another writer has appended to the tree.
            WorldError: ``store-unavailable``; the tree is unchanged: call it again with these entries, or with more.
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
    """Adds the partial bundle and tiles at the end."""
    size = growth.frontier.size
    if growth.leaves:
        growth.bundles[tile_at(ENTRIES, size // TILE_WIDTH, size)] = encode_bundle(growth.leaves)
    for level, hashes in enumerate(growth.edge):
        if hashes:
            growth.tiles[tile_at(level, (size >> TILE_HEIGHT * level) // TILE_WIDTH, size)] = hashes


def _outgrown(old_size: int, new_size: int) -> Iterator[Tile]:
    """The tiles and bundles that have become full, so that their partial forms can be removed."""
    for level in range(ENTRIES, _LEVELS):
        shift = TILE_HEIGHT * max(level, 0)
        for index in range((old_size >> shift) // TILE_WIDTH, (new_size >> shift) // TILE_WIDTH):
            yield Tile(level=level, index=index)
