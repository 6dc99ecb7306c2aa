"""Recomputes every result in an audit log from the recorded inputs, in the same way the verifier did (invariant I12).

Every object is verified again. Every push, every deadline and every awaited handle is decided again in the recorded
order. Each result must then have the recorded bytes, except for its ECDSA signature, which must be by a key of the
verifier. Reports each mismatch with its entry index, lowest index first.

The log also records which keys the verifier trusted (``anchors``). Nothing proves them; keys that the auditor provides
are used instead. These cannot be derived:

* *Refused messages.* The log has only their digest and reason. They change no verdict, only a counter.
* *That counter, after a crash.* Refusals are counted in memory until the next result. After a crash the recorded count
  may omit the oldest refusals since the previous result. That is the only difference tolerated.
* *States from before the log.* If the log was replaced, the verifier's database holds states that the new log cannot
  explain. An attester's results are underivable until one is derived without that state; all later ones are derived.

Needs no broker, TPM, service or clock.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from schemas.audit.anchors import Anchors, Start, keys_by_id, parse_anchors, parse_start
from schemas.audit.entry import ANCHORS, LOCAL_POLICY, START, EvidenceEntry, ObjectEntry, parse_entry
from schemas.codecs import cose
from schemas.errors import ConfigError, PeerError
from schemas.identifiers import Ueid
from schemas.instants import SECOND_US
from schemas.messages import result_token
from schemas.messages.handle import StampVerifier
from schemas.messages.result import AttestationResult, Rejections, to_claims
from schemas.messages.result_token import ResultFormat
from verifier_worker.adapters.loaded_files import compile_local_policy, compile_policy
from verifier_worker.adapters.trust_store import TrustStore
from verifier_worker.audit.claim_values import leaves, shown
from verifier_worker.audit.remembered_objects import RememberedObjects
from verifier_worker.core import decision
from verifier_worker.core.decision import DEVELOPER, Decision
from verifier_worker.core.policy.in_force import Policies
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.core.state import AttesterState
from verifier_worker.core.state_codec import decode_state, encode_state
from verifier_worker.core.trust import Trust

Keys = Mapping[bytes, EllipticCurvePublicKey]
_UNANNOUNCED_US: Final = 60_000_000  # a worker checks deadlines twice a second
_EMPTY: Final = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedTrust:
    """Keys and roots that the auditor trusts; where None, those in the log's anchors are used.

    Attributes:
        endorsers, distributors, verifiers: keys by ``cose.key_id``.
        stamps: verifies time stamps.
        stamps_of: makes a verifier of time stamps from root and intermediate certificates, DER.
    """

    stamps_of: Callable[[tuple[bytes, ...], tuple[bytes, ...]], StampVerifier]
    endorsers: Keys | None = None
    distributors: Keys | None = None
    verifiers: Keys | None = None
    stamps: StampVerifier | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A mismatch between the log and the derivation.

    Attributes:
        index: of the entry.
        field: of the entry; for a result its claim, as ``submods/…/ear_status``.
        detail: in words, or ``recorded …, derived …``.
    """

    index: int
    field: str
    detail: str


@dataclass(slots=True)
class EntryCounts:
    """Numbers of entries, by kind and outcome.

    Attributes:
        entries, objects, results, refused, starts: in the log.
        underivable: results that depend on a state from before the log.
        forgotten: refused messages that no later result counts.
        lost: starts whose database had lost attesters of the log.
        unannounced: pushes long after the deadline, without a stale result in between.
    """

    entries: int = 0
    objects: int = 0
    results: int = 0
    refused: int = 0
    underivable: int = 0
    starts: int = 0
    forgotten: int = 0
    lost: int = 0
    unannounced: int = 0


@dataclass(slots=True)
class _Attester:
    """The derived state of one attester.

    Attributes:
        state: after its last result.
        refusals: since that result.
        is_guess: the state may lack knowledge from before the log. False again after a result was derived from it.
    """

    state: AttesterState | None = None
    refusals: list[Rejections] = field(default_factory=list)
    is_guess: bool = False


class Rederivation:
    """Takes a log's entries from the first on. Owned by one thread.

    Attributes:
        problems: mismatches, in the order of the entries.
        counts: of the entries taken.
        anchors: the last recorded trust anchors of the verifier; None before the first ones.
        gaps: entries are missing, for example because old ones were pruned.
    """

    def __init__(self, pinned: PinnedTrust) -> None:
        """Starts before the first entry."""
        self.problems: list[Problem] = []
        self.counts = EntryCounts()
        self.anchors: Anchors | None = None
        self.gaps = False
        self._pinned = pinned
        self._digests: dict[str, bytes] = {}  # of the last recorded anchors and local policy
        self._recorded_policy: AppraisalPolicy | None = None  # the verifier's own, even if it started without one
        self._policy: AppraisalPolicy | None = None
        self._objects = RememberedObjects()
        self._early: list[ObjectEntry] = []
        self._trust: TrustStore | None = None
        self._verifiers: Keys = {}
        self._key_id = b""
        self._attesters: dict[Ueid, _Attester] = {}
        self._knows_more = False  # than the log: its database had attesters before
        self._state_version: int | None = None
        self._index, self._next, self._last_us, self._started_us = 0, 0, 0, 0

    def take(self, index: int, raw: bytes) -> None:
        """Takes the next entry; ``index`` is its place in the log, from 0."""
        if index != self._next:  # the missing entries may have changed every state
            self.gaps = self._knows_more = True
            self._attesters.clear()
        self._index, self._next = index, index + 1
        self.counts.entries += 1
        try:
            entry = parse_entry(raw)
        except PeerError as error:
            self._report("entry", str(error))
            return
        self._check_time(entry.received_us)
        if isinstance(entry, EvidenceEntry):
            self._take_evidence(entry)
            return
        self.counts.objects += 1
        try:
            self._take_object(entry)
        except (PeerError, ConfigError) as error:
            self._report(entry.kind, str(error))
        self._check_time(entry.received_us)  # again, since the object may be a handle

    def _report(self, name: str, detail: str) -> None:
        self.problems.append(Problem(index=self._index, field=name, detail=detail))

    def _check_time(self, received_us: int) -> None:
        floor_us = self._trust.floor_us if self._trust is not None else 0
        if received_us < self._last_us:
            by_s = (self._last_us - received_us) / SECOND_US
            self._report("receipt", f"{by_s:g} s before the preceding entry: reordered, or a clock set back")
        elif received_us < floor_us:
            self._report("receipt", "before a preceding handle was stamped: reordered, or back-dated")
        self._last_us = max(received_us, 0)

    # -- objects -------------------------------------------------------------------------------------------------------

    def _take_object(self, entry: ObjectEntry) -> None:
        match entry.kind:
            case "anchors":
                self._digests[ANCHORS] = hashlib.sha256(entry.raw).digest()
                self.anchors = parse_anchors(entry.raw)
                early, self._early = self._early, []
                for each in early:
                    self._accept(each)
            case "local-policy":
                self._digests[LOCAL_POLICY] = hashlib.sha256(entry.raw).digest()
                self._recorded_policy = self._policy = compile_local_policy(entry.raw)
            case "start":
                self._start(parse_start(entry.raw), entry.received_us)
            case _:
                self._accept(entry)

    def _accept(self, entry: ObjectEntry) -> None:
        if self.anchors is None:  # an earlier version did not record its trust anchors
            self._early.append(entry)
            return
        if self._trust is None:
            self._trust = self._opened()
        if not self._trust.accept(entry.kind, None, entry.raw, entry.received_us, retained=True):
            self._report(entry.kind, "it is in force already: recorded twice")

    def _start(self, start: Start, now_us: int) -> None:
        """Forgets everything that the verifier's database did not hold at this start, and loads the rest."""
        self.counts.starts += 1
        if start.anchors != self._digests.get(ANCHORS):
            self._report(START, "its trust anchors differ from the recorded ones before it")
        if start.policy not in {None, self._digests.get(LOCAL_POLICY)}:
            self._report(START, "its own policy differs from the recorded one before it")
        self._policy = self._recorded_policy if start.policy is not None else None
        if not start.objects:
            self._objects.clear()
        self._recall_attesters(start, now_us)
        self._trust = self._opened()
        for error in self._trust.load(now_us):
            self._report(START, f"an object of its database: {error}")
        if self._objects.lasting != start.objects and not self.gaps:
            self._report(START, f"its database held {start.objects} objects, the log {self._objects.lasting}")
        self._trust.trust(now_us)

    def _recall_attesters(self, start: Start, now_us: int) -> None:
        version = self.anchors.state_version if self.anchors is not None else None
        known = {ueid: each for ueid, each in self._attesters.items() if each.state is not None}
        if self.counts.starts == 1 and not known:
            self._knows_more = self._knows_more or start.attesters > 0
        elif not start.attesters or version != self._state_version:
            self.counts.lost += bool(known)
            known = {}  # lost, or not readable by this version
        elif start.attesters != len(known) and not self._knows_more:
            self._report(START, f"its database held {start.attesters} attesters, the log {len(known)}")
        self.counts.forgotten += sum(len(each.refusals) for each in self._attesters.values())
        self._started_us = now_us
        self._attesters = {
            ueid: replace(each, state=decode_state(encode_state(each.state)) if each.state else None, refusals=[])
            for ueid, each in known.items()
        }
        self._state_version = version

    def _opened(self) -> TrustStore:
        """An empty trust store with the verifier's trust anchors.

        Raises:
            ConfigError: the TSA's certificates do not parse.
            PeerError: ``malformed``: the keys do not parse.
        """
        anchors, pinned = self.anchors, self._pinned
        if anchors is None:
            raise ConfigError("the log has no trust anchors before it: it is of an earlier version")
        stamps = pinned.stamps or pinned.stamps_of(anchors.tsa_roots, anchors.tsa_intermediates)
        own = keys_by_id([anchors.key])
        self._verifiers, self._key_id = pinned.verifiers or own, cose.key_id(own[next(iter(own))])
        return TrustStore(
            self._objects,
            endorsers=pinned.endorsers or keys_by_id(anchors.endorsers),
            distributors=pinned.distributors or keys_by_id(anchors.distributors),
            stamps=stamps,
            policies=Policies(self._policy, compile_policy),
            scopes=anchors.scopes,
        )

    # -- evidence ------------------------------------------------------------------------------------------------------

    def _take_evidence(self, entry: EvidenceEntry) -> None:
        attester = self._attesters.setdefault(entry.ueid, _Attester())
        if entry.result is None:
            self._take_refusal(entry, attester)
            return
        self.counts.results += 1
        if self._trust is None or self.anchors is None or not self.counts.starts:  # from before this log
            self.counts.underivable += 1
            return
        trust = self._trust.trust(entry.received_us, entry.ueid)
        try:
            recorded = result_token.verify(entry.result, result_token.result_keys(self._verifiers))
        except PeerError as error:
            self._report("result", str(error))
            return
        rejections = self._counted_refusals(attester, recorded)
        state = replace(attester.state, rejections=rejections) if attester.state is not None else None
        if entry.payload is not None:
            self._count_silence(state, entry.received_us)
        derived = self._derive(entry, state, trust, self.anchors.verifier, rejections)
        if isinstance(derived, str):
            self._report_differences(attester, [Problem(index=self._index, field="result", detail=derived)])
            return
        differences = list(self._compare(entry, derived.result))
        attester.is_guess = bool(differences) and self._report_differences(attester, differences)
        # The verifier's other knowledge is in no log; the new parts of a push and the count of refusals are.
        after = derived.state
        attester.state = replace(after, rejections=recorded.rejections) if attester.is_guess else after
        attester.refusals.clear()

    def _count_silence(self, state: AttesterState | None, received_us: int) -> None:
        """Counts an overdue attester without a stale result; a running verifier that could write makes one."""
        if state is None or state.deadline_us is None:
            return
        if received_us > max(state.deadline_us, self._started_us) + _UNANNOUNCED_US:
            self.counts.unannounced += 1

    def _take_refusal(self, entry: EvidenceEntry, attester: _Attester) -> None:
        self.counts.refused += 1
        if entry.payload is not None or len(entry.reasons) != 1:
            self._report("entry", "a refused message has one reason, and no payload in the log")
            return
        if attester.state is not None or (self._trust is not None and entry.ueid in self._trust.attesters):
            attester.refusals.append(Rejections(count=1, last=entry.reasons[0], last_us=entry.received_us))

    def _report_differences(self, attester: _Attester, differences: list[Problem]) -> bool:
        """Reports differences. True if they may stem from before the log, so that they prove nothing."""
        if (attester.state is None and self._knows_more) or attester.is_guess:
            self.counts.underivable += 1
            return True
        self.problems += differences
        return False

    def _counted_refusals(self, attester: _Attester, recorded: AttestationResult) -> Rejections | None:
        """The recorded number of refusals; all of them if that number is impossible."""
        known, refusals = attester.state.rejections if attester.state is not None else None, attester.refusals
        before = known.count if known is not None else 0
        kept = (recorded.rejections.count if recorded.rejections is not None else 0) - before
        if not 0 <= kept <= len(refusals):
            kept = len(refusals)
        self.counts.forgotten += len(refusals) - kept
        return replace(refusals[-1], count=before + kept) if kept else known

    def _derive(
        self,
        entry: EvidenceEntry,
        state: AttesterState | None,
        trust: Trust,
        verifier: str,
        rejections: Rejections | None,
    ) -> Decision | str:
        """Decides again as the entry records; or the reason why no result is possible."""
        if entry.payload is not None:
            if hashlib.sha256(entry.payload).digest() != entry.digest:
                return "the payload is not the one whose digest was recorded"
            decided = decision.decide_push(
                entry.ueid, state, entry.payload, entry.received_us, trust, verifier, refused_before=rejections
            )
            if isinstance(decided, Decision):
                return decided
            if decided.refused is not None:
                return f"this evidence is refused: {decided.refused}"
            return "this evidence repeats the evidence before it: it gets no result of its own"
        if state is None or entry.digest != _EMPTY:
            return "a result without evidence, about an attester without accepted evidence"
        if entry.cause == "overdue":
            late = decision.decide_silence(entry.ueid, state, entry.received_us, trust, verifier)
            return late or "the deadline had not passed"
        if entry.cause == "withdrawn":
            ended = decision.decide_withdrawal(entry.ueid, state, entry.received_us, trust, verifier)
            return ended or "its endorsement was not withdrawn"
        resolved = decision.decide_handle(entry.ueid, state, entry.received_us, trust, verifier)
        return resolved or "the handle that the evidence waited for had not arrived"

    def _compare(self, entry: EvidenceEntry, built: AttestationResult) -> Iterator[Problem]:
        token, anchors = entry.result, self.anchors
        if token is None or anchors is None:
            return
        if tuple(entry.reasons) != tuple(map(str, built.reasons)):
            yield self._difference("reasons", list(entry.reasons), list(map(str, built.reasons)))
        claims = to_claims(built, DEVELOPER, anchors.build)
        form = ResultFormat(anchors.result_format)
        if result_token.signed_part(token) == result_token.to_be_signed(claims, self._key_id, form):
            return
        recorded = dict(leaves(result_token.unverified_claims(token)))
        derived = dict(leaves(json.loads(json.dumps(claims))))
        names = [name for name in {**recorded, **derived} if recorded.get(name) != derived.get(name)]
        for name in names:
            yield self._difference(name, recorded.get(name), derived.get(name))
        if not names:
            yield Problem(
                index=self._index, field="result", detail=f"the same claims, not encoded as {form} of this key"
            )

    def _difference(self, name: str, recorded: object, derived: object) -> Problem:
        detail = f"recorded {shown(recorded)}, derived {shown(derived)}"
        return Problem(index=self._index, field=name, detail=detail)
