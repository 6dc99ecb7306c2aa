"""Checks a tiled audit log from its first entry to its last, and names the first entry that is bad.

It builds two Merkle trees, one from the entries and one from the level-0 tiles, and compares both with every stored
checkpoint. That distinguishes a changed entry, a changed tile and a rewritten history. The entries that a checkpoint
covers existed when it was stamped: none of them can have been received later, and none after them much earlier.

It cannot find that an audit log was cut off at an older checkpoint and everything later removed, because nothing in the
folder shows that. A checkpoint that was seen earlier (``known``), a witness, or the memory beside the signing key does.
"""

import bisect
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from runtime.audit_log.log_reader import PRUNED, AuditLogReader
from schemas.audit.entry import EvidenceEntry, parse_entry, reference_in
from schemas.errors import PeerError
from schemas.instants import SECOND_US
from schemas.messages.handle import StampVerifier
from schemas.reasons import Reason
from schemas.tlog.checkpoint import Checkpoint, verify_checkpoint
from schemas.tlog.merkle import HASH_BYTES, Frontier, leaf_hash
from schemas.tlog.signed_note import NoteKey
from schemas.tlog.tiles import MAX_LEVEL, TILE_HEIGHT, TILE_WIDTH, Tile, subtree_root, tile_at

MAX_FINDINGS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A failed check.

    Attributes:
        index: the first affected entry; -1 if it affects no entry.
        reason: the code.
        detail: a sentence.
        repairable: whether the bad data can be computed again from good data.
    """

    index: int
    reason: Reason
    detail: str
    repairable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """The demands on an audit log.

    Attributes:
        key: of the audit log.
        stamps: verifies tokens; None leaves stamps unchecked.
        known: checkpoints that were seen earlier, as signed notes.
        tolerance_us: how much the clocks of writer and TSA may differ, plus the delay between receipt and stamp.
    """

    key: NoteKey
    stamps: StampVerifier | None = None
    known: Sequence[bytes] = ()
    tolerance_us: int = 60 * SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stamped:
    size: int
    earliest_us: int
    latest_us: int


@dataclass(slots=True)
class AuditLogCheck:
    """One check of one audit log: :meth:`open`, :meth:`walk`, then :attr:`findings` and the counts."""

    reader: AuditLogReader
    demands: Demands
    findings: list[Finding] = field(default_factory=list)
    size: int = 0
    pruned: int = 0
    evidence: int = 0
    unreadable: int = 0
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    stamps: list[_Stamped] = field(default_factory=list)
    entries_hold: bool = True  # the entries alone lead to the signed roots
    _roots: list[set[bytes]] = field(default_factory=list)  # of each full bundle, by its entries and by its tile

    def open(self) -> int:
        """Reads checkpoints and stamps; returns the number of entries to check."""
        self._read_checkpoints()
        try:
            self.pruned = self.reader.first_index()
        except PeerError as error:
            self._find(0, error)
        if self.pruned > self.size:
            problem = f"{PRUNED}: the first entry that is left is {self.pruned}, and there are {self.size}"
            self._found(0, Reason.AUDIT_LOG_ALTERED, problem)
            self.pruned = 0
        if self.demands.stamps is not None:
            self._read_stamps(self.demands.stamps)
        return self.size

    def walk(self) -> Iterator[int]:
        """Checks everything; yields the number of checked entries after every bundle."""
        entries, tiles = Frontier(), Frontier()
        good, bad = 0, -1
        for start in range(0, self.size, TILE_WIDTH):
            end = min(self.size, start + TILE_WIDTH)
            hashed, shown = self._bundle(start, end), self._tile(start, end)
            if hashed is None and shown is None:
                self._found(start, Reason.AUDIT_LOG_TRUNCATED, "neither entries nor hashes are left")
                return
            left, right = hashed or shown or [], shown or hashed or []
            self._compare(start, left, right)
            if end - start == TILE_WIDTH:
                self._roots.append({subtree_root(b"".join(each)) for each in (left, right)})
            for index in range(start, end):
                if index in self.checkpoints and index:
                    good, bad = self._hold(index, entries, tiles, good, bad)
                entries.append(left[index - start])
                tiles.append(right[index - start])
            yield end
        if self.size:
            _, bad = self._hold(self.size, entries, tiles, good, bad)
        if bad < 0:  # else the tiles are of another history, and a comparison shows nothing
            self._check_upper_tiles()

    def _read_checkpoints(self) -> None:
        """Reads and verifies every stored checkpoint, the newest, and the known ones."""
        kept = self.reader.checkpoints()
        for size in kept:
            self._take_checkpoint(f"checkpoints/{size}", size, partial(self.reader.checkpoint_at, size))
        if kept or self.reader.has_checkpoint():
            self._take_checkpoint("checkpoint", None, self.reader.checkpoint)
        self.size = max(self.checkpoints, default=0)
        for number, raw in enumerate(self.demands.known, 1):
            self._take_checkpoint(f"known checkpoint {number}", None, partial(bytes, raw))
        for size in [size for size in self.checkpoints if size > self.size]:
            problem = f"the log ends here; a checkpoint of {size} entries was seen earlier"
            self._found(self.size, Reason.AUDIT_LOG_TRUNCATED, problem)
            del self.checkpoints[size]

    def _take_checkpoint(self, name: str, size: int | None, read: Callable[[], bytes]) -> None:
        try:
            checkpoint = verify_checkpoint(read(), self.demands.key)
        except PeerError as error:
            index = -1 if size is None else self._covered(size)
            again = name == "checkpoint" and bool(self.checkpoints)  # it is a copy of a stored one
            self._found(index, error.reason, f"{name}: {error.detail}", repairable=again)
            return
        if size is not None and checkpoint.size != size:
            problem = f"{name}: holds the checkpoint of {checkpoint.size} entries: swapped"
            self._found(self._covered(size), Reason.AUDIT_CHECKPOINT_INVALID, problem)
            return
        other = self.checkpoints.setdefault(checkpoint.size, checkpoint)
        if other.root != checkpoint.root:
            problem = f"{name}: the log's key has signed two roots of {checkpoint.size} entries"
            self._found(self._covered(checkpoint.size), Reason.AUDIT_LOG_FORKED, problem)

    def _covered(self, size: int) -> int:
        """The first entry that no smaller checkpoint covers."""
        return max((each for each in self.checkpoints if each < size), default=0)

    def _read_stamps(self, verifier: StampVerifier) -> None:
        before: _Stamped | None = None
        for size in self.reader.stamped():
            try:
                signed, token = self.reader.checkpoint_at(size), self.reader.stamp(size) or b""
                info = verifier.verify_stamp(token, hashlib.sha256(signed).digest())
            except PeerError as error:
                self._found(self._covered(size), Reason.AUDIT_STAMP_INVALID, f"stamps/{size}.tst: {error.detail}")
                continue
            if size not in self.checkpoints:
                continue  # that checkpoint was refused
            stamped = _Stamped(
                size=size,
                earliest_us=info.gen_time_us - info.accuracy_us,
                latest_us=info.gen_time_us + info.accuracy_us,
            )
            if before is not None and stamped.latest_us < before.earliest_us:
                problem = f"the checkpoint of {size} entries was stamped before the checkpoint of {before.size}"
                self._found(before.size, Reason.AUDIT_BACK_DATED, problem)
                continue
            self.stamps.append(stamped)
            before = stamped

    def _bundle(self, start: int, end: int) -> list[bytes] | None:
        """Checks the entries of a bundle and returns its leaf hashes; None if it was pruned or cannot be read."""
        if start < self.pruned:
            self._kept(start, end)
            return None
        try:
            leaves = [leaf for _, leaf in self.reader.leaves(start, end)]
        except PeerError as error:
            self.entries_hold = False
            self._find(start, error)
            return None
        for index, leaf in enumerate(leaves, start):
            self._entry(index, leaf)
        return [leaf_hash(leaf) for leaf in leaves]

    def _kept(self, start: int, end: int) -> None:
        """Checks that the remaining objects of a pruned bundle have their hashes in the tile."""
        try:
            shown = self.reader.tile(tile_at(0, start // TILE_WIDTH, end))
            for index, leaf in self.reader.leaves(start, end):
                place = (index - start) * HASH_BYTES
                if leaf_hash(leaf) != shown[place : place + HASH_BYTES]:
                    self._found(index, Reason.AUDIT_LOG_ALTERED, "not the object that was hashed")
                self._entry(index, leaf)
        except PeerError as error:
            self._find(start, error)

    def _tile(self, start: int, end: int) -> list[bytes] | None:
        tile = tile_at(0, start // TILE_WIDTH, end)
        try:
            content = self.reader.tile(tile)
        except PeerError as error:
            self._found(start, error.reason, error.detail, repairable=start >= self.pruned)
            return None
        if len(content) != tile.width * HASH_BYTES:
            detail = f"{tile.path}: {len(content)} bytes"
            self._found(start, Reason.AUDIT_LOG_TRUNCATED, detail, repairable=start >= self.pruned)
            return None
        return [content[place : place + HASH_BYTES] for place in range(0, len(content), HASH_BYTES)]

    def _compare(self, start: int, hashed: Sequence[bytes], shown: Sequence[bytes]) -> None:
        """Reports the first difference in a bundle; a checkpoint shows later which of the two was changed."""
        for index, (left, right) in enumerate(zip(hashed, shown, strict=True), start):
            if left != right:
                problem = "the entry is not the one that was hashed"
                self._found(index, Reason.AUDIT_LOG_ALTERED, problem, repairable=True)
                return

    def _hold(self, size: int, entries: Frontier, tiles: Frontier, good: int, bad: int) -> tuple[int, int]:
        """Compares both trees with a checkpoint; returns the largest matching size and the smallest mismatching one."""
        root = self.checkpoints[size].root
        if entries.root() != root:
            self.entries_hold = False
        if root in {entries.root(), tiles.root()}:
            if bad >= 0:
                problem = f"the key has signed another history: the checkpoint of {bad} entries is not of this log"
                self.findings = [each for each in self.findings if each.detail != _rewritten(bad)]
                self._found(good, Reason.AUDIT_LOG_FORKED, problem)
            return size, -1
        if bad < 0:
            self._found(good, Reason.AUDIT_LOG_ALTERED, _rewritten(size))
            return good, size
        return good, bad

    def _entry(self, index: int, leaf: bytes) -> None:
        try:
            entry = self.reader.resolved(index, leaf)
        except PeerError as error:
            self.entries_hold = self.entries_hold and reference_in(leaf) is not None
            self._find(index, error)
            return
        try:
            parsed = parse_entry(entry)
        except PeerError:
            self.unreadable += 1
            return
        self.evidence += isinstance(parsed, EvidenceEntry)
        self._date(index, parsed.received_us)

    def _date(self, index: int, received_us: int) -> None:
        """Compares the receipt time of an entry with the stamps before and after it."""
        tolerance = self.demands.tolerance_us
        place = bisect.bisect_right(self.stamps, index, key=lambda each: each.size)
        covering = self.stamps[place] if place < len(self.stamps) else None
        if covering is not None and received_us > covering.latest_us + tolerance:
            late_s = (received_us - covering.latest_us) / SECOND_US
            problem = f"states a receipt {late_s:.1f} s after the checkpoint of {covering.size} entries was stamped"
            self._found(index, Reason.AUDIT_BACK_DATED, f"{problem}, which covers it")
        before = self.stamps[place - 1] if place else None
        if before is not None and received_us < before.earliest_us - tolerance:
            early_s = (before.earliest_us - received_us) / SECOND_US
            problem = f"states a receipt {early_s:.1f} s before the checkpoint of {before.size} entries was stamped"
            self._found(index, Reason.AUDIT_BACK_DATED, f"{problem}, which does not cover it")

    def _check_upper_tiles(self) -> None:
        """Compares every hash of the upper tiles with the tile below it, level by level."""
        below = self._roots
        for level in range(1, MAX_LEVEL + 1):
            if not below:
                return
            roots: list[set[bytes]] = []
            for start in range(0, len(below), TILE_WIDTH):
                group = below[start : start + TILE_WIDTH]
                tile = tile_at(level, start // TILE_WIDTH, self.size)
                held = self._upper_tile(tile, start << TILE_HEIGHT * level, group)
                if not tile.partial:
                    roots.append({subtree_root(b"".join(held))})
            below = roots

    def _upper_tile(self, tile: Tile, start: int, below: Sequence[set[bytes]]) -> list[bytes]:
        """The hashes of an upper tile, with bad ones replaced; ``below`` has the possible values of each."""
        try:
            content = self.reader.tile(tile)
        except PeerError as error:
            self._found(start, error.reason, error.detail, repairable=True)
            content = b""
        held: list[bytes] = []
        for place, roots in enumerate(below):
            hashed = content[place * HASH_BYTES : (place + 1) * HASH_BYTES]
            if hashed not in roots:
                if content:
                    index = start + (place << TILE_HEIGHT * tile.level)
                    problem = f"{tile.path}: not the hash of the tile below it"
                    self._found(index, Reason.AUDIT_LOG_ALTERED, problem, repairable=True)
                    content = b""  # one finding a tile
                hashed = min(roots)
            held.append(hashed)
        return held

    def _find(self, index: int, error: PeerError) -> None:
        self._found(index, error.reason, error.detail)

    def _found(self, index: int, reason: Reason, detail: str, *, repairable: bool = False) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(index=index, reason=reason, detail=detail, repairable=repairable))


def _rewritten(size: int) -> str:
    return f"neither entries nor hashes lead to the root of {size} entries that was signed: rewritten from here on"
