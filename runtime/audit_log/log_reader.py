"""Reads an audit log in a store (:mod:`runtime.audit_log.store`): a Merkle tree in tiles, with checkpoints.

    tile/<L>/<N>, tile/entries/<N>    hashes and entries (:mod:`schemas.tlog.tiles`)
    blob/<SHA-256>                    an entry that is too long for a leaf (:mod:`schemas.audit.entry`)
    checkpoint                        the newest signed checkpoint, with cosignatures; is replaced
    checkpoints/<size>                every published checkpoint, as the audit log's key signed it; is never replaced
    stamps/<size>.tst                 RFC 3161 token over the bytes of ``checkpoints/<size>``
    cosignatures/<size>               signature lines of witnesses for it
    pruned                            index of the first entry that is left, if older evidence was deleted
    kept/<N>                          the trust objects of a deleted bundle, which later evidence may need

:class:`AuditLogReader` verifies one thing: that an entry in a blob is the one that its leaf names. Callers verify
checkpoints (:mod:`schemas.tlog.checkpoint`), stamps and proofs (:mod:`schemas.tlog.merkle`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from runtime.audit_log.store import AuditLogStore
from schemas.audit.entry import MAX_ENTRY_BYTES, reference_in
from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_uint
from schemas.errors import PeerError
from schemas.limits import MAX_TIME_STAMP_TOKEN_BYTES
from schemas.reasons import Reason
from schemas.tlog.checkpoint import parse_checkpoint, parse_size
from schemas.tlog.merkle import HASH_BYTES, prove_consistency, prove_inclusion
from schemas.tlog.signed_note import MAX_NOTE_BYTES, parse_note
from schemas.tlog.tiles import (
    ENTRIES,
    MAX_BUNDLE_BYTES,
    MAX_LEAF_BYTES,
    MAX_TILE_BYTES,
    TILE_WIDTH,
    Tile,
    TileHashes,
    parse_bundle,
    tile_at,
)

CHECKPOINT: Final = "checkpoint"
PRUNED: Final = "pruned"
_MAX_SIZE_BYTES: Final = 32


def checkpoint_path(size: int) -> str:
    """The path of the checkpoint of this size."""
    return f"checkpoints/{size}"


def stamp_path(size: int) -> str:
    """The path of the time-stamp token over the checkpoint of this size."""
    return f"stamps/{size}.tst"


def cosignatures_path(size: int) -> str:
    """The path of the witnesses' signature lines for the checkpoint of this size."""
    return f"cosignatures/{size}"


def kept_path(number: int) -> str:
    """The path of the trust objects that are kept when bundle ``number`` is deleted."""
    return Tile(level=ENTRIES, index=number).path.replace("tile/entries", "kept")


def encode_kept(leaves: Sequence[tuple[int, bytes]]) -> bytes:
    """Encodes the kept leaves of a bundle, each with its place in the bundle."""
    return cbor.encode([[place, leaf] for place, leaf in leaves])


class AuditLogReader:
    """Reads an audit log, which may be growing. Every method may raise ``WorldError`` if the store does not answer."""

    def __init__(self, store: AuditLogStore) -> None:
        self._store = store
        self._bundle: tuple[Tile, tuple[bytes, ...]] | None = None  # the last one read

    @property
    def name(self) -> str:
        """The folder or URL of the audit log, for messages."""
        return self._store.name

    def checkpoint(self) -> bytes:
        """The newest signed note.

        Raises:
            PeerError: ``audit-log-truncated``: it does not exist.
        """
        return self._needed(CHECKPOINT, MAX_NOTE_BYTES)

    def has_checkpoint(self) -> bool:
        """Whether a checkpoint was published."""
        return self._store.read(CHECKPOINT, max_bytes=MAX_NOTE_BYTES) is not None

    def checkpoint_at(self, size: int) -> bytes:
        """The signed note of this size: the bytes that were stamped.

        Raises:
            PeerError: ``audit-log-truncated``: it does not exist.
        """
        return self._needed(checkpoint_path(size), MAX_NOTE_BYTES)

    def checkpoints(self) -> tuple[int, ...]:
        """The sizes at which checkpoints were published, ascending."""
        return tuple(sorted(_sizes(self._store.list("checkpoints"), "")))

    def stamped(self) -> tuple[int, ...]:
        """The sizes whose checkpoints have a stamp, ascending."""
        return tuple(sorted(_sizes(self._store.list("stamps"), ".tst")))

    def stamp(self, size: int) -> bytes | None:
        """The token over the bytes of :meth:`checkpoint_at`; None if there is none (a later token covers it)."""
        return self._store.read(stamp_path(size), max_bytes=MAX_TIME_STAMP_TOKEN_BYTES)

    def cosignatures(self, size: int) -> bytes:
        """Signature lines of witnesses; empty if there are none."""
        return self._store.read(cosignatures_path(size), max_bytes=MAX_NOTE_BYTES) or b""

    def unverified_size(self) -> int:
        """The number of leaves that the newest checkpoint states; 0 without a checkpoint.

        Raises:
            PeerError: ``malformed``.
        """
        raw = self._store.read(CHECKPOINT, max_bytes=MAX_NOTE_BYTES)
        return parse_checkpoint(parse_note(raw).unverified_text).size if raw is not None else 0

    def first_index(self) -> int:
        """The index of the first entry that is left; 0 unless older ones were pruned.

        Raises:
            PeerError: ``malformed``.
        """
        raw = self._store.read(PRUNED, max_bytes=_MAX_SIZE_BYTES)
        first = 0 if raw is None else parse_size(raw.decode("ascii", "replace").removesuffix("\n"))
        if first % TILE_WIDTH:
            raise PeerError(Reason.MALFORMED, f"{PRUNED}: {first} is not the first entry of a bundle")
        return first

    def kept(self, number: int) -> Mapping[int, bytes]:
        """The kept leaves of a deleted bundle, by their place in the bundle; empty if there are none.

        Raises:
            PeerError: ``malformed``.
        """
        raw = self._store.read(kept_path(number), max_bytes=MAX_BUNDLE_BYTES)
        items = as_array(cbor.decode(raw, "kept", max_bytes=MAX_BUNDLE_BYTES), "kept", limit=TILE_WIDTH) if raw else ()
        pairs = [as_array(item, "kept", length=2) for item in items]
        return {
            as_uint(place, "kept place", maximum=TILE_WIDTH - 1): as_bytes(leaf, "kept leaf", limit=MAX_LEAF_BYTES)
            for place, leaf in pairs
        }

    def bundle_if_there(self, tile: Tile) -> tuple[bytes, ...]:
        """The leaves of the bundle with exactly this path; empty if it does not exist.

        Raises:
            PeerError: ``malformed``.
        """
        raw = self._store.read(tile.path, max_bytes=MAX_BUNDLE_BYTES)
        return () if raw is None else parse_bundle(raw, tile.width)

    def leaf(self, index: int) -> bytes:
        """The leaf of entry ``index``: the entry itself, or a reference to its blob.

        Raises:
            PeerError: as :meth:`entry`.
        """
        first = self.first_index()
        if index < first:
            leaf = self.kept(index // TILE_WIDTH).get(index % TILE_WIDTH)
            if leaf is None:
                raise self._pruned(first)
            return leaf
        tile = tile_at(ENTRIES, index // TILE_WIDTH, index + 1)
        return self._leaves(tile)[index % TILE_WIDTH]

    def entry(self, index: int) -> bytes:
        """Entry ``index``.

        Raises:
            PeerError: ``audit-log-truncated``: it is missing; ``audit-pruned``: it was deleted;
                ``audit-log-altered``: its blob has other content; ``malformed``: its bundle cannot be decoded.
        """
        return self.resolved(index, self.leaf(index))

    def entries(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yields the entries from ``start`` to ``end`` (exclusive) with their index; of pruned ones only the kept.

        Raises:
            PeerError: as :meth:`entry`, except ``audit-pruned``.
        """
        for index, leaf in self.leaves(start, end):
            yield index, self.resolved(index, leaf)

    def leaves(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yields the leaves from ``start`` to ``end`` (exclusive) with their index; of pruned ones only the kept.

        Raises:
            PeerError: as :meth:`entry`, except ``audit-pruned``.
        """
        left = self.first_index()
        for number in range(start // TILE_WIDTH, (end + TILE_WIDTH - 1) // TILE_WIDTH):
            first = number * TILE_WIDTH
            there = sorted(self.kept(number).items()) if first < left else None
            for place, leaf in there or enumerate(self._leaves(tile_at(ENTRIES, number, end)) if there is None else ()):
                if start <= first + place < end:
                    yield first + place, leaf

    def hashes(self, size: int) -> TileHashes:
        """The hashes of the tree's first ``size`` leaves, for :mod:`schemas.tlog.merkle`."""
        return TileHashes(size, self.tile)

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """The proof that entry ``index`` is in the tree of ``size`` leaves.

        Raises:
            PeerError: ``audit-log-truncated``: a tile is missing; ``malformed``: a tile cannot be decoded, or the tree
                has no such entry.
        """
        if not 0 <= index < size:
            raise PeerError(Reason.MALFORMED, f"entry {index} in an audit log of {size} entries: does not exist")
        return prove_inclusion(index, size, self.hashes(size))

    def consistency(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """The proof that the tree of ``new_size`` leaves extends the tree of ``old_size`` leaves.

        Raises:
            PeerError: as :meth:`inclusion`.
        """
        if not 0 <= old_size <= new_size:
            raise PeerError(Reason.MALFORMED, f"from {old_size} to {new_size} entries: the audit log did not grow")
        return prove_consistency(old_size, new_size, self.hashes(new_size))

    def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile; the beginning of a wider one if only that exists.

        Raises:
            PeerError: ``audit-log-truncated``: it is missing.
        """
        _, content = self._widest(tile, MAX_TILE_BYTES)
        return content[: tile.width * HASH_BYTES]

    def _leaves(self, tile: Tile) -> tuple[bytes, ...]:
        if self._bundle is not None:
            kept, leaves = self._bundle
            if kept.index == tile.index and kept.width >= tile.width:
                return leaves[: tile.width]
        found, content = self._widest(tile, MAX_BUNDLE_BYTES)
        leaves = parse_bundle(content, found.width)
        self._bundle = found, leaves
        return leaves[: tile.width]

    def _widest(self, tile: Tile, max_bytes: int) -> tuple[Tile, bytes]:
        """This tile, or a wider one that begins with it."""
        for candidate in self._candidates(tile):
            content = self._store.read(candidate.path, max_bytes=max_bytes)
            if content is not None:
                return candidate, content
        raise PeerError(Reason.AUDIT_LOG_TRUNCATED, f"{self.name}: {tile.path} is missing")

    def _candidates(self, tile: Tile) -> Iterator[Tile]:
        yield tile
        if tile.partial:
            yield tile.full
            try:
                newest = tile_at(tile.level, tile.index, self.unverified_size())
            except PeerError:
                return
            if newest.width > tile.width:
                yield newest

    def resolved(self, index: int, leaf: bytes) -> bytes:
        """The entry of a leaf: the leaf itself, or the blob that it refers to.

        Raises:
            PeerError: as :meth:`entry`.
        """
        reference = reference_in(leaf)
        if reference is None:
            return leaf
        entry = self._store.read(reference.path, max_bytes=MAX_ENTRY_BYTES)
        if entry is None:
            raise PeerError(Reason.AUDIT_LOG_TRUNCATED, f"{self.name}: {reference.path} is missing, entry {index}")
        return reference.check(entry)

    def _pruned(self, first: int) -> PeerError:
        return PeerError(Reason.AUDIT_PRUNED, f"{self.name}: the first entry that is left is {first}")

    def _needed(self, path: str, max_bytes: int) -> bytes:
        content = self._store.read(path, max_bytes=max_bytes)
        if content is None:
            raise PeerError(Reason.AUDIT_LOG_TRUNCATED, f"{self.name}: {path} is missing")
        return content


def _sizes(names: Iterator[str], suffix: str) -> Iterator[int]:
    for name in names:
        try:
            yield parse_size(name.removesuffix(suffix) if name.endswith(suffix) else "")
        except PeerError:
            continue
