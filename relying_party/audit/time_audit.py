"""Recomputes when each recorded quote was made, from an audit log, without trusting the verifier (TUDA). Pure.

The steps, in this order:

1. Read every entry. Verify handles (distributor, TSA) and endorsements (endorser).
2. Verify each evidence: the payload's digest; the quote over the body; the signatures of quote and sync proof, by the
   key in the endorsement recorded before it; the TSA's token over the sync proof, if there is one.
3. Bound the time of its quote by all handles, sync proofs and receipts of its clock epoch in the audit log, including
   later ones: inequalities (2) to (6) of :mod:`schemas.time_model`. Proofs that state the time since power-on reveal
   where the clock was set or cleared within an epoch. There, a reading bounds nothing beyond the last proof before it.
4. Check that no recorded result about the evidence claims a narrower interval.

A TSA and the TPM vouch for the lower bound, and for the upper bound too if the sync proof was stamped. Otherwise the
upper bound rests on the verifier alone: on its receipt time and on the handles that it held by then. An endorsement
must be valid at the receipt time. This module appraises no measurements.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from relying_party.audit.time_anchors import Anchor, AnchorTable, clock_eras
from schemas import media_types
from schemas.audit.entry import EvidenceEntry, ObjectEntry, parse_entry
from schemas.codecs import cmw
from schemas.errors import PeerError
from schemas.identifiers import HandleId, Ueid
from schemas.instants import SECOND_US
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.endorsement import Endorsement, verify_endorsement
from schemas.messages.evidence import Evidence, parse_evidence
from schemas.messages.handle import Handle, StampVerifier, verify_handle
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.time_model import quote_made, stamped
from schemas.topics import TopicKind
from schemas.tpm.attest import Attest, AttestType, TimeAttestInfo, parse_attest
from schemas.tpm.signature import parse_signature, verify_signature

PENDING = "handle not in the audit log"
ELSEWHERE = "the evidence of this result is not in the audit log"
_Epoch = tuple[Ueid, bytes, int, int]
_Era = int | bytes  # a stretch of an epoch; or a single proof, if that does not state the time since power-on


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeTrust:
    """The signers that the auditor trusts.

    Attributes:
        distributors: handle distributors' keys by ``cose.key_id``.
        stamps: verifies time-stamp tokens.
        endorsers: endorsers' keys by ``cose.key_id``; None leaves signatures of quotes and sync proofs unchecked.
        drift_ppm: bound on the rate error of the devices' clocks.
    """

    distributors: Mapping[bytes, EllipticCurvePublicKey]
    stamps: StampVerifier
    endorsers: Mapping[bytes, EllipticCurvePublicKey] | None
    drift_ppm: int


@dataclass(slots=True, kw_only=True)
class Row:
    """One evidence, or another entry with a problem. Times in UTC microseconds.

    Attributes:
        index, number: place in the audit log, from 0; the number that the writer gave the entry.
        kind: ``evidence``, ``refused``, ``overdue``, ``resolved``, ``unreadable``, or the kind of an object.
        ueid, sequence, received_us: of the evidence; receipt time by the verifier's clock.
        handle: that its sync proof signs.
        after_us, before_us: the recomputed interval of its quote; None for no bound.
        recorded_after_us: the lower bound that the recorded result claims.
        received_after: newest handle in the audit log before the entry.
        received_before: first handle after it.
        pending: why the quote has no bounds, or empty.
        problems: failed checks.
    """

    index: int
    number: int
    kind: str
    ueid: Ueid | None = None
    sequence: int | None = None
    received_us: int | None = None
    handle: HandleId | None = None
    after_us: int | None = None
    before_us: int | None = None
    recorded_after_us: int | None = None
    received_after: Handle | None = None
    received_before: Handle | None = None
    pending: str = ""
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quote:
    """An authentic quote: its row, and the values that are needed once the whole audit log is read."""

    row: Row
    epoch: _Epoch
    clock_ms: int
    own_sync_ms: int | None
    sync: bytes
    evidence: bytes
    recorded: AttestationResult | None


@dataclass(slots=True, kw_only=True)
class _Sync:
    clock_ms: int
    handle: HandleId
    before_us: int
    offset_ms: int | None


class TimeAudit:
    """Reads an audit log from its first entry to its last, then reports. Owned by the thread that calls it."""

    def __init__(self, trust: TimeTrust, only: Ueid | None = None) -> None:
        """Starts before the first entry; ``only`` leaves out the evidence of other attesters."""
        self._trust = trust
        self._only = only
        self._rows: list[Row] = []
        self._open: list[Row] = []  # rows that wait for the next handle
        self._handles: dict[HandleId, Handle] = {}
        self._newest: Handle | None = None
        self._endorsed: dict[Ueid, Endorsement] = {}
        self._syncs: dict[_Epoch, dict[bytes, _Sync]] = {}
        self._quotes: list[_Quote] = []
        self._results: list[tuple[Row, AttestationResult]] = []  # without evidence: overdue, or a late handle
        self._starts: dict[_Epoch, list[int]] = {}  # where eras begin
        self._ends: dict[tuple[_Epoch, _Era], int] = {}
        self._last_us, self._index = 0, 0

    def read(self, number: int, raw: bytes) -> None:
        """Takes the next entry."""
        row = Row(index=self._index, number=number, kind="unreadable")
        self._index += 1
        try:
            entry = parse_entry(raw)
        except PeerError as error:
            self._add_problem(row, error)
            return
        row.received_us, row.received_after = entry.received_us, self._newest
        self._check_order(row, entry.received_us)
        if isinstance(entry, ObjectEntry):
            self._read_object(row, entry)
        elif self._only in {None, entry.ueid}:
            self._read_evidence(row, entry)

    def rows(self) -> list[Row]:
        """The rows to report, in the order of the audit log; call it once, after the last entry."""
        tables = self._tables()
        for quote in self._quotes:
            row = quote.row
            row.after_us, before_us = self._bounds(quote, tables)
            row.before_us = min(each for each in (before_us, row.received_us) if each is not None)
            row.pending = "" if row.handle in self._handles else PENDING
            if row.after_us is not None and row.after_us > row.before_us:
                row.problems.append("contradicted: the statements of TPM, TSAs and receipts cannot all be true")
            self._compare(row, quote.recorded)
        self._compare_results()
        reported = (row for row in self._rows if row.kind == "evidence" or row.problems or row.pending)
        return sorted(reported, key=lambda row: row.index)

    def _compare_results(self) -> None:
        """Checks results without evidence: they may not claim more than is recomputed for the evidence they name."""
        quotes = {(quote.row.ueid, quote.evidence): quote for quote in self._quotes}
        for row, recorded in self._results:
            quote = quotes.get((row.ueid, recorded.evidence or b""))
            if quote is None:
                row.pending = ELSEWHERE
                continue
            row.after_us, row.before_us = quote.row.after_us, quote.row.before_us
            if (recorded.ueid, recorded.received_us) != (row.ueid, quote.row.received_us):
                row.problems.append("the recorded result names another attester or receipt time")
            self._compare(row, recorded)

    def _bounds(
        self, quote: _Quote, tables: Mapping[tuple[_Epoch, _Era], AnchorTable]
    ) -> tuple[int | None, int | None]:
        era = self._era(quote.epoch, quote.sync)
        after_us, before_us = tables[quote.epoch, era].bounds(quote.clock_ms)
        own_us = self._after_own_sync(quote)
        if len(self._starts[quote.epoch]) > 1:  # the clock was set or cleared
            before_us = None
            if quote.clock_ms > self._ends.get((quote.epoch, era), -1):
                handle = self._handles.get(quote.row.handle or HandleId(b""))
                after_us, own_us = None, handle.earliest_us if handle is not None else None
        return max((each for each in (after_us, own_us) if each is not None), default=None), before_us

    def _era(self, epoch: _Epoch, imprint: bytes) -> _Era:
        sync = self._syncs.get(epoch, {}).get(imprint)
        if sync is None or sync.offset_ms is None:
            return imprint
        return bisect_right(self._starts[epoch], sync.offset_ms)

    def _after_own_sync(self, quote: _Quote) -> int | None:
        """The quoted body contains the sync proof, so the proof came first, even within the same millisecond."""
        handle = self._handles.get(quote.row.handle or HandleId(b""))
        if handle is None or quote.own_sync_ms is None:
            return None
        return quote_made(handle.made, quote.own_sync_ms, quote.clock_ms, self._trust.drift_ppm).after_us

    def _add_problem(self, row: Row, error: PeerError) -> None:
        row.problems.append(str(error))
        self._rows.append(row)

    def _check_order(self, row: Row, received_us: int) -> None:
        if received_us < self._last_us:
            row.problems.append("received before the previous entry: reordered, or a clock was set back")
        if self._newest is not None and received_us < self._newest.earliest_us:
            row.problems.append("received before an earlier handle was stamped: reordered, or a clock is behind")
        self._last_us = received_us

    def _read_object(self, row: Row, entry: ObjectEntry) -> None:
        row.kind = entry.kind
        try:
            if entry.kind == TopicKind.HANDLES:
                self._take_handle(verify_handle(entry.raw, self._trust.distributors, self._trust.stamps))
            elif entry.kind == TopicKind.ENDORSEMENTS and self._trust.endorsers is not None:
                self._take_endorsement(verify_endorsement(entry.raw, self._trust.endorsers))
        except PeerError as error:
            self._add_problem(row, error)
            return
        self._rows.append(row)

    def _take_endorsement(self, endorsement: Endorsement) -> None:
        known = self._endorsed.get(endorsement.ueid)
        if known is not None and endorsement.version < known.version:
            raise PeerError(Reason.OBJECT_ROLLED_BACK, f"version {endorsement.version} after version {known.version}")
        self._endorsed[endorsement.ueid] = endorsement

    def _take_handle(self, handle: Handle) -> None:
        if handle.id in self._handles:
            return
        self._handles[handle.id] = handle
        if self._newest is None or handle.time_us > self._newest.time_us:
            self._newest = handle
        for row in self._open:
            row.received_before = handle
        self._open.clear()

    def _read_evidence(self, row: Row, entry: EvidenceEntry) -> None:
        row.kind, row.ueid = "refused" if entry.result is None else entry.cause, entry.ueid
        if entry.payload is None:
            self._read_result(row, entry)
            return
        row.kind = "evidence"
        self._open.append(row)
        try:
            if hashlib.sha256(entry.payload).digest() != entry.digest:
                raise PeerError(Reason.MALFORMED, "the payload does not have the recorded digest")
            value = cmw.unwrap(entry.payload, media_types.EVIDENCE, Indicator.EVIDENCE)
            evidence = parse_evidence(value)
            row.sequence = evidence.body.sequence
            quote, sync = parse_attest(evidence.quote), parse_attest(evidence.body.sync.attest)
            self._authenticate(entry, evidence, quote)
            recorded = result_token.read_unverified(entry.result) if entry.result is not None else None
            _check_recorded(entry, evidence, recorded)
        except PeerError as error:
            self._add_problem(row, error)
            return
        self._check_received_after(row, recorded)
        row.handle = HandleId(sync.extra_data)
        row.recorded_after_us = recorded.made_after_us if recorded is not None else None
        self._take_sync(row, entry, evidence, sync)
        epoch = _epoch(evidence, quote)
        own_ms = sync.clock_info.clock if _epoch(evidence, sync) == epoch else None
        clock_ms = quote.clock_info.clock
        self._quotes.append(
            _Quote(
                row=row,
                epoch=epoch,
                clock_ms=clock_ms,
                own_sync_ms=own_ms,
                sync=evidence.body.sync_imprint,
                evidence=evidence.body_digest,
                recorded=recorded,
            )
        )
        self._rows.append(row)

    def _read_result(self, row: Row, entry: EvidenceEntry) -> None:
        self._rows.append(row)
        try:
            if entry.result is not None:
                recorded = result_token.read_unverified(entry.result)
                row.recorded_after_us = recorded.made_after_us
                self._results.append((row, recorded))
        except PeerError as error:
            row.problems.append(str(error))

    def _authenticate(self, entry: EvidenceEntry, evidence: Evidence, quote: Attest) -> None:
        if evidence.body.ueid != entry.ueid:
            raise PeerError(Reason.UEID_MISMATCH, "the body names another attester than the entry")
        if quote.type is not AttestType.QUOTE:
            raise PeerError(Reason.ATTEST_TYPE_WRONG, f"the quote is a {quote.type.name} attestation")
        if quote.extra_data != evidence.body_digest:
            raise PeerError(Reason.QUOTE_NOT_BOUND_TO_BODY, "the quote's extraData is not the SHA-256 of the body")
        if self._trust.endorsers is None:
            return
        endorsement = self._endorsed.get(entry.ueid)
        if endorsement is None:
            raise PeerError(Reason.ATTESTER_UNENDORSED, "no endorsement in the audit log before it")
        if not endorsement.is_valid(entry.received_us // SECOND_US):
            raise PeerError(Reason.ENDORSEMENT_EXPIRED, f"endorsement version {endorsement.version} was not valid")
        public, body = endorsement.attesting_key, evidence.body
        if body.environment != public.name:
            raise PeerError(Reason.ATTESTING_KEY_MISMATCH, "the body names another attesting key than the endorsed one")
        key = public.public_key()
        verify_signature(key, parse_signature(evidence.signature), evidence.quote, Reason.QUOTE_SIGNATURE_INVALID)
        sync_signature = parse_signature(body.sync.signature)
        verify_signature(key, sync_signature, body.sync.attest, Reason.SYNC_SIGNATURE_INVALID)

    def _check_received_after(self, row: Row, recorded: AttestationResult | None) -> None:
        claimed = recorded.received_after if recorded is not None else None
        if claimed is not None and claimed not in self._handles:
            row.problems.append("the result names a handle before its receipt that the audit log does not hold by then")

    def _take_sync(self, row: Row, entry: EvidenceEntry, evidence: Evidence, sync: Attest) -> None:
        """Takes a sync proof: it was made before its receipt, and before the TSA stamped it."""
        before_us = entry.received_us
        if evidence.body.sync_stamp is not None:
            try:
                stamp = self._trust.stamps.verify_stamp(evidence.body.sync_stamp, evidence.body.sync_imprint)
                latest_us = stamped(stamp.gen_time_us, stamp.accuracy_us).before_us
                before_us = min(before_us, latest_us) if latest_us is not None else before_us
            except PeerError as error:
                if Reason.SYNC_STAMP_INVALID not in entry.reasons:
                    row.problems.append(f"sync stamp: {error}")
        clock, timed = sync.clock_info.clock, sync.attested
        offset_ms = clock - timed.time if isinstance(timed, TimeAttestInfo) else None
        made = _Sync(clock_ms=clock, handle=HandleId(sync.extra_data), before_us=before_us, offset_ms=offset_ms)
        known = self._syncs.setdefault(_epoch(evidence, sync), {}).setdefault(evidence.body.sync_imprint, made)
        known.before_us = min(known.before_us, before_us)

    def _tables(self) -> dict[tuple[_Epoch, _Era], AnchorTable]:
        for epoch in {*self._syncs, *(quote.epoch for quote in self._quotes)}:
            offsets = (sync.offset_ms for sync in self._syncs.get(epoch, {}).values())
            self._starts[epoch] = clock_eras(each for each in offsets if each is not None)
        anchors: dict[tuple[_Epoch, _Era], list[Anchor]] = {}
        for quote in self._quotes:
            received = Anchor(clock_ms=quote.clock_ms, after_us=None, before_us=quote.row.received_us)
            anchors.setdefault((quote.epoch, self._era(quote.epoch, quote.sync)), []).append(received)
        for epoch, syncs in self._syncs.items():
            for imprint, sync in syncs.items():
                handle = self._handles.get(sync.handle)
                after_us = handle.earliest_us if handle is not None else None
                made = Anchor(clock_ms=sync.clock_ms, after_us=after_us, before_us=sync.before_us)
                era = epoch, self._era(epoch, imprint)
                anchors.setdefault(era, []).append(made)
                self._ends[era] = max(self._ends.get(era, -1), sync.clock_ms)
        return {each: AnchorTable(given, self._trust.drift_ppm) for each, given in anchors.items()}

    def _compare(self, row: Row, recorded: AttestationResult | None) -> None:
        """Checks that the recorded interval is no narrower than the recomputed one, on either side."""
        if recorded is None:
            return
        after_us, before_us = recorded.made_after_us, recorded.made_before_us
        if after_us is not None and row.after_us is None:
            row.problems.append("the result claims a lower bound that nothing in the audit log supports")
        elif after_us is not None and row.after_us is not None and after_us > row.after_us:
            more_ms = (after_us - row.after_us) / 1000
            row.problems.append(
                f"the result's lower bound is {more_ms:.3f} ms above the recomputed one (drift bound, clock set?)"
            )
        if before_us is not None and row.before_us is not None and before_us < row.before_us:
            more_ms = (row.before_us - before_us) / 1000
            row.problems.append(f"the result's upper bound is {more_ms:.3f} ms below the recomputed one")


def _epoch(evidence: Evidence, attest: Attest) -> _Epoch:
    clock = attest.clock_info
    return evidence.body.ueid, evidence.body.environment, clock.reset_count, clock.restart_count


def _check_recorded(entry: EvidenceEntry, evidence: Evidence, recorded: AttestationResult | None) -> None:
    if recorded is None:
        return
    if (recorded.ueid, recorded.evidence) != (entry.ueid, evidence.body_digest):
        raise PeerError(Reason.MALFORMED, "the recorded result is about other evidence")
    if recorded.received_us is not None and recorded.received_us != entry.received_us:
        raise PeerError(Reason.MALFORMED, "the recorded result names another receipt time")
