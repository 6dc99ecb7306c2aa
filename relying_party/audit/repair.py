"""Writes damaged tiles and the newest checkpoint of an audit log again, from entries that lead to the signed roots.

It signs nothing: the entries and the stored checkpoints determine every byte that it writes.
"""

from runtime.audit_log.log_reader import CHECKPOINT, AuditLogReader
from runtime.audit_log.store import AuditLogStore
from schemas.tlog.merkle import HASH_BYTES, leaf_hash
from schemas.tlog.signed_note import MAX_NOTE_BYTES
from schemas.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, Tile, subtree_root, tile_at


def repair(store: AuditLogStore, size: int) -> int:
    """Writes missing and wrong tiles, and the newest checkpoint; returns the number of objects written.

    Args:
        store: holds the audit log; nobody else writes to it now.
        size: of the newest checkpoint; the entries must lead to its root.

    Raises:
        PeerError: an entry is missing.
        WorldError: ``store-unavailable``.
    """
    reader = AuditLogReader(store)
    first = reader.first_index()
    written = 0
    hashes: list[bytes] = []
    for start in range(0, size, TILE_WIDTH):
        tile = tile_at(0, start // TILE_WIDTH, size)
        if start < first:
            content = reader.tile(tile)
        else:
            content = b"".join(leaf_hash(leaf) for _, leaf in reader.leaves(start, start + tile.width))
            written += _put(store, tile, content)
        if not tile.partial:
            hashes.append(subtree_root(content))
    level = 1
    while hashes:
        above: list[bytes] = []
        for start in range(0, len(hashes), TILE_WIDTH):
            tile = tile_at(level, start // TILE_WIDTH, size)
            content = b"".join(hashes[start : start + TILE_WIDTH])
            written += _put(store, tile, content)
            if not tile.partial:
                above.append(subtree_root(content))
        hashes, level = above, level + 1
    kept = reader.checkpoint_at(size)
    there = store.read(CHECKPOINT, max_bytes=MAX_NOTE_BYTES)
    if there is None or not there.startswith(kept):  # cosignatures follow it
        store.write(CHECKPOINT, kept)
        written += 1
    return written


def _put(store: AuditLogStore, tile: Tile, content: bytes) -> int:
    if store.read(tile.path, max_bytes=TILE_WIDTH * HASH_BYTES << TILE_HEIGHT) == content:
        return 0
    store.write(tile.path, content)
    return 1
