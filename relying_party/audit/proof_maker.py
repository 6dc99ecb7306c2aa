"""Chooses the audit log entries that prove what a device ran at a given time. Pure; verifies nothing, a checker does.

It looks for evidence on two sides. *After*: the earliest evidence whose handle was stamped after the time, so that its
quote was certainly made later; otherwise the earliest one by the TPM's clock. *Before*: the latest evidence of the same
boot under a checkpoint that was stamped before the time; otherwise by the verifier's receipt; otherwise of another
boot. It adds the entries that these two need: their handles, the pushes of their boot that carried log entries or PCR
values, and the trust objects in force. It adds all evidence between the two, so that a checker sees each result.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from relying_party.audit.proof_policy import policy_facts, policy_table
from schemas import media_types
from schemas.audit.anchors import keys_by_id, parse_anchors
from schemas.audit.entry import ANCHORS, LOCAL_POLICY, START, EvidenceEntry, ObjectEntry, parse_entry
from schemas.codecs import cmw, cose
from schemas.codecs.tst_info import extract_tst_info, parse_tst_info
from schemas.errors import PeerError
from schemas.identifiers import HandleId, Ueid
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.evidence import Evidence, parse_evidence
from schemas.messages.handle import handle_id
from schemas.messages.policy import verify_policy
from schemas.messages.reference_values import verify_reference_values
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.time_model import MAX_DRIFT_PPM, Interval, quote_made, stamped
from schemas.topics import TopicKind
from schemas.tpm.attest import ClockInfo, TimeAttestInfo, parse_attest
from schemas.verdicts import Freshness

MAX_BETWEEN: Final = 2000
_UNSETTLED: Final = frozenset(
    {
        *(Reason.LOG_INCOMPLETE, Reason.SEQUENCE_GAP, Reason.LOG_GAP, Reason.BASELINE_REQUIRED),
        *(Reason.POLICY_MISSING, Reason.POLICY_CONFLICT, Reason.REFERENCE_VALUES_MISSING),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Evidence of the device; nothing of it is verified.

    Attributes:
        index: of its entry.
        received_us: receipt time by the verifier's clock.
        handle: that its sync proof signs.
        received_after: newest handle that the verifier held at receipt.
        clock, sync_clock: of quote and sync proof.
        environment: name of its key.
        baseline: it starts the measurement logs again.
        carries: it contains log entries or PCR values.
        settled: its result states that its measurement logs are complete.
        policies: that its result names.
        timed: its sync proof states the time since the TPM's last reset.
        evidence: SHA-256 of its body.
        pending: its verdict waited for a handle.
    """

    index: int
    received_us: int
    handle: HandleId
    received_after: HandleId | None
    clock: ClockInfo
    sync_clock: ClockInfo
    environment: bytes
    baseline: bool
    carries: bool
    settled: bool
    policies: tuple[str, ...]
    timed: bool
    evidence: bytes
    pending: bool

    @property
    def boot(self) -> tuple[bytes, int]:
        """Key and reset count."""
        return self.environment, self.clock.reset_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The contents of a proof.

    Attributes:
        before, after: indices of the two sides; None without such evidence.
        entries: indices of all entries, ascending.
        sizes: of the checkpoints, ascending.
    """

    before: int | None
    after: int | None
    entries: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(slots=True)
class AuditLogScan:
    """Takes the entries of an audit log in order and keeps those that may matter to one device. Owned by one thread."""

    ueid: Ueid
    candidates: list[Candidate] = field(default_factory=list)
    _later: list[tuple[int, bytes | None]] = field(default_factory=list)  # index and evidence of results without a push
    _objects: list[tuple[int, str, str]] = field(default_factory=list)  # index, kind, name
    _policies: dict[str, set[str]] = field(default_factory=dict)  # by id, the reference values that they name
    _endorsers: Mapping[bytes, EllipticCurvePublicKey] = field(default_factory=dict)
    _handles: dict[HandleId, tuple[int, Interval]] = field(default_factory=dict)

    def take(self, index: int, raw: bytes) -> None:
        """Takes the next entry; ignores one that cannot be read."""
        try:
            entry = parse_entry(raw)
            if isinstance(entry, ObjectEntry):
                self._take_object(index, entry)
            elif entry.ueid == self.ueid and entry.result is not None:
                result = result_token.read_unverified(entry.result)
                if entry.payload is None:
                    self._later.append((index, result.evidence))
                else:
                    self._take_evidence(index, entry, entry.payload, result)
        except PeerError:
            return

    def _take_object(self, index: int, entry: ObjectEntry) -> None:
        match entry.kind:
            case TopicKind.HANDLES:
                self._handles.setdefault(handle_id(entry.raw), (index, _stamp_of(entry.raw)))
            case TopicKind.ENDORSEMENTS:
                if bytes(self.ueid) in entry.raw:  # an endorsement contains the UEID that it is about
                    self._objects.append((index, TopicKind.ENDORSEMENTS, ""))
            case "anchors":
                self._endorsers = keys_by_id(parse_anchors(entry.raw).endorsers)
                self._objects.append((index, ANCHORS, ""))
            case "start":
                self._objects.append((index, START, ""))
            case "local-policy":
                self._take_policy(index, LOCAL_POLICY, "", entry.raw.decode("utf-8", "replace"))
            case TopicKind.POLICIES:
                policy = verify_policy(entry.raw, self._endorsers)
                self._take_policy(index, TopicKind.POLICIES, policy.id, policy.text)
            case _:
                values = verify_reference_values(entry.raw, self._endorsers)
                self._objects.append((index, TopicKind.REFERENCE_VALUES, values.name))

    def _take_policy(self, index: int, kind: str, name: str, text: str) -> None:
        facts = policy_facts(text)
        self._objects.append((index, kind, name))
        self._policies.setdefault(str(policy_table(text).get("id")), set()).update(facts.references)

    def _take_evidence(self, index: int, entry: EvidenceEntry, payload: bytes, result: AttestationResult) -> None:
        evidence = parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE))
        quote, sync = parse_attest(evidence.quote), parse_attest(evidence.body.sync.attest)
        self.candidates.append(
            Candidate(
                index=index,
                received_us=entry.received_us,
                handle=HandleId(sync.extra_data),
                received_after=result.received_after,
                clock=quote.clock_info,
                sync_clock=sync.clock_info,
                environment=evidence.body.environment,
                baseline=_is_baseline(evidence),
                carries=bool(evidence.unsigned_increments or evidence.unsigned_pcrs),
                settled=_UNSETTLED.isdisjoint(result.reasons),
                policies=tuple(result.policies),
                timed=isinstance(sync.attested, TimeAttestInfo),
                evidence=evidence.body_digest,
                pending=result.freshness is Freshness.PENDING,
            )
        )

    def choose(self, at_us: int, stamps: Mapping[int, int], newest: int) -> Choice:
        """Chooses the entries of a proof.

        Args:
            at_us: the time asked for, UTC microseconds.
            stamps: latest time of each checkpoint's stamp, UTC microseconds, by the size of the checkpoint.
            newest: size of the newest checkpoint.

        Raises:
            PeerError: ``audit-proof-invalid``: the audit log holds no complete evidence of the device.
        """
        sizes = sorted(stamps)
        reach = sizes[-1] if sizes else newest
        usable = [
            each for each in self.candidates if each.settled and each.index < reach and each.handle in self._handles
        ]
        usable = [each for each in usable if self._chain(each) is not None]
        if not usable:
            raise PeerError(Reason.AUDIT_PROOF_INVALID, "the audit log holds no complete evidence of this device")
        after = self._after(usable, at_us)
        before = _before(usable, after, at_us, lambda each: _stamped_us(each, stamps))
        sides = [each for each in (before, after) if each is not None]
        through = self._through(after, stamps) if before is not None and after is not None else None
        passed = [through] if through is not None else []
        heads = sorted({_covering(each.index, sizes, newest) for each in [*sides, *passed]})
        between = self._between(before, after)
        entries = sorted(
            {index for each in sides for index in self._needed(each)}
            | {index for each in [*between, *passed] for index in self._needed(each, alone=True)}
            | {index for index in self._decided_later([*sides, *between]) if index < heads[-1]}
        )
        return Choice(
            before=before.index if before is not None else None,
            after=after.index if after is not None else None,
            entries=tuple(entries),
            sizes=tuple(heads),
        )

    def _after(self, usable: Sequence[Candidate], at_us: int) -> Candidate | None:
        by_handle = (each for each in usable if self._handles[each.handle][1].after_us >= at_us)
        first = next(by_handle, None)
        if first is not None:
            return first
        return next((each for each in usable if self._lower_us(each) >= at_us), None)

    def _lower_us(self, each: Candidate) -> int:
        made, sync, quote = self._handles[each.handle][1], each.sync_clock, each.clock
        if (sync.reset_count, sync.restart_count) != (quote.reset_count, quote.restart_count):
            return made.after_us
        return quote_made(made, sync.clock, quote.clock, MAX_DRIFT_PPM).after_us

    def _chain(self, end: Candidate) -> list[Candidate] | None:
        """The pushes with the measurement logs from their start to this quote; None if one of them is missing."""
        chain: list[Candidate] = []
        for each in reversed([every for every in self.candidates if every.index <= end.index]):
            if each.boot != end.boot:
                return None
            chain.append(each)
            if each.baseline:
                return chain[::-1]
        return None

    def _through(self, after: Candidate, stamps: Mapping[int, int]) -> Candidate | None:
        """The first evidence whose sync proof was certainly made after ``after``: it shows that the boot continued."""
        until_us = _stamped_us(after, stamps)
        for each in self.candidates if until_us is not None else ():
            made = self._handles.get(each.handle)
            if each.index <= after.index or each.boot != after.boot or not each.timed or made is None:
                continue
            if made[1].after_us >= (until_us or 0) and _stamped_us(each, stamps) is not None:
                return each
        return None

    def _between(self, before: Candidate | None, after: Candidate | None) -> list[Candidate]:
        """The evidence between the two sides; none of it if it is more than a proof can hold."""
        if before is None or after is None:
            return []
        between = [each for each in self.candidates if before.index < each.index < after.index]
        return between if len(between) <= MAX_BETWEEN else []

    def _decided_later(self, among: Sequence[Candidate]) -> Iterable[int]:
        """The results about evidence whose verdict waited for a handle."""
        waited = {each.evidence for each in among if each.pending}
        return (index for index, evidence in self._later if evidence in waited)

    def _needed(self, side: Candidate, *, alone: bool = False) -> Iterable[int]:
        """The indices of a side, the pushes before it, their handles, and the trust objects before all of them."""
        before = [] if alone else self._chain(side) or []
        chain = [*(each for each in before if (each.carries or each.baseline) and each is not side), side]
        for each in chain:
            yield each.index
            for handle in (each.handle, each.received_after):
                if handle is not None and handle in self._handles:
                    yield self._handles[handle][0]
        first = chain[0].index
        policies = {label.rpartition("/")[0] for label in side.policies}
        sets = {name for each in policies for name in self._policies.get(each, ())}
        wanted: dict[str, set[str]] = {TopicKind.POLICIES: policies, TopicKind.REFERENCE_VALUES: sets}
        latest: dict[tuple[str, str], int] = {}
        for index, kind, name in self._objects:
            if index > side.index:
                break
            if name not in wanted.get(kind, {name}):
                continue
            if index < first:
                latest[kind, name] = index
            else:
                yield index
        yield from latest.values()


def _before(
    usable: Sequence[Candidate], after: Candidate | None, at_us: int, stamped_us: Callable[[Candidate], int | None]
) -> Candidate | None:
    """The latest evidence from before the time, preferably stamped, preferably of the boot of ``after``."""
    earlier = [each for each in reversed(usable) if after is None or each.index < after.index]
    same = [each for each in earlier if after is None or each.boot == after.boot]
    for among in (same, earlier):
        for each in among:
            latest_us = stamped_us(each)
            if latest_us is not None and latest_us <= at_us:
                return each
        for each in among:
            if each.received_us <= at_us:
                return each
    return None


def _stamped_us(each: Candidate, stamps: Mapping[int, int]) -> int | None:
    return next((stamps[size] for size in sorted(stamps) if size > each.index), None)


def _covering(index: int, sizes: Sequence[int], newest: int) -> int:
    return next((size for size in sizes if size > index), newest)


def _is_baseline(evidence: Evidence) -> bool:
    return evidence.body.previous is None and not any(evidence.body.logs.values())


def _stamp_of(raw: bytes) -> Interval:
    """The time of a handle's stamp, unverified."""
    token = cose.parse(raw, "handle", max_bytes=1 << 17).unprotected.get(cose.HEADER_3161_CTT)
    info = parse_tst_info(extract_tst_info(token if isinstance(token, bytes) else b""))
    return stamped(info.gen_time_us, info.accuracy_us)
