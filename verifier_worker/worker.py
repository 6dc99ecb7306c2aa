"""One batch of messages through ``step``, and its effects in the one order that loses nothing.

    store state, result and audit entry  ->  append to the audit log (fsync)  ->  publish  ->  acknowledge

The store is one transaction a batch. After a crash at any line the broker delivers again what was not acknowledged, and
the outbox repeats what was stored but not recorded or not published. Knows no MQTT and no SQL, only ports.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from runtime.clock import monotonic_s, utc_us
from runtime.ports import Publisher
from runtime.telemetry import Log
from schemas.audit.entry import EvidenceEntry, ObjectEntry, encode_entry
from schemas.errors import PeerError
from schemas.identifiers import HandleId, Ueid, parse_ueid_text, ueid_text
from schemas.instants import SECOND_US
from schemas.messages import result_token
from schemas.messages.result import AttestationResult
from schemas.messages.result_token import ResultSigner
from schemas.verdicts import Freshness
from verifier_worker.adapters import result_metrics
from verifier_worker.adapters.build import BUILD
from verifier_worker.adapters.push_progress import PushProgress
from verifier_worker.adapters.solicitor import Identity, Solicitor
from verifier_worker.core.awaited_handles import AwaitedHandles
from verifier_worker.core.decision import DEVELOPER, Decision, decide_handle, decide_push, decide_silence
from verifier_worker.core.state import AttesterState
from verifier_worker.core.step import SolicitRequest
from verifier_worker.core.trust import Trust
from verifier_worker.ports import Arrival, AuditLog, Outcome, Pending, StateStore, StoredAttester

_DUE_AT_ONCE: Final = 256
_LOG: Final = Log("verifier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One evidence message.

    Attributes:
        ueid_text: the topic's last level.
        payload: as it came.
        received_us: when, UTC microseconds.
        arrived_s: when it came off the network, by the monotonic clock; for metrics alone.
    """

    ueid_text: str
    payload: bytes
    received_us: int
    arrived_s: float | None = None


@dataclass(slots=True, kw_only=True)
class _Cached:
    """What the cache holds of one attester: ``stored`` is durable, ``state`` may be ahead of it by rejections."""

    state: AttesterState | None
    result: bytes | None
    result_expires_us: int


class _UnderWay(NamedTuple):
    number: int
    arrival: Arrival | None
    since_s: float  # when the publisher took it


class Worker:
    """Owns the cache of states and the outbox. One thread calls it."""

    def __init__(
        self,
        identity: Identity,
        store: StateStore,
        audit: AuditLog,
        publisher: Publisher,
        *,
        trust: Callable[[int, Ueid], Trust],
        solicit_interval_s: float,
        cached_states: int,
        progress: PushProgress | None = None,
    ) -> None:
        """Recovers: what is in the outbox is recorded now and published as soon as the publisher takes it.

        Args:
            identity: name, key and topics.
            store: durable state and outbox.
            audit: the audit log.
            publisher: the way to relying parties.
            trust: what is in force at a time (UTC microseconds) for an attester.
            solicit_interval_s: least time between two solicits to one attester; doubled for each that did not help.
            cached_states: attesters kept in memory.
            progress: is told how far each push is.
        """
        self._identity = identity
        self._progress = progress or PushProgress()
        self._signer = ResultSigner(identity.key, DEVELOPER, BUILD, identity.result_format)
        self._store, self._audit, self._publisher, self._trust = store, audit, publisher, trust
        self._solicitor = Solicitor(identity, publisher, interval_s=solicit_interval_s, limit=cached_states)
        self._cached_states = cached_states
        self._cache: OrderedDict[Ueid, _Cached] = OrderedDict()
        self._under_way: dict[int, _UnderWay] = {}  # by publisher's id
        self._done: list[int] = []
        self._awaited = AwaitedHandles(cached_states)
        store.number_after(audit.last_number())
        self._unpublished: list[Pending] = []
        self._unrecorded: list[Pending] = list(store.pending())
        self.settle()

    @property
    def unpublished(self) -> int:
        """Outcomes that the publisher has not taken yet."""
        return len(self._unpublished)

    @property
    def unconfirmed(self) -> int:
        """Results that the publisher has taken and not reported yet."""
        return len(self._under_way)

    def process(self, batch: Sequence[Received]) -> None:
        """Takes a batch of evidence through ``step`` into the store; :meth:`settle` is the caller's next line.

        Raises:
            WorldError: ``store-unavailable``; nothing of the batch has taken effect, call again with the same.
        """
        changed: dict[Ueid, _Cached] = {}
        outcomes, solicits = [], []
        self._progress.begins(len(batch))
        for received in batch:
            self._progress.takes(received.payload)
            outcome, solicit = self._take(received, changed)
            self._progress.took(received.arrived_s)
            if outcome is not None:
                outcomes.append(outcome)
            if solicit is not None:
                solicits.append(solicit)
        self._store_all(outcomes, changed)
        for ueid, request in solicits:
            self._solicitor.ask(ueid, request)

    def expire(self, now_us: int) -> int:
        """Stores stale results for attesters whose deadline has passed, for :meth:`settle`; returns how many."""
        changed: dict[Ueid, _Cached] = {}
        outcomes = []
        for ueid in self._store.due(now_us, _DUE_AT_ONCE):
            entry = self._entry(ueid, changed)
            if entry.state is None:  # stored by another version, or damaged: nothing can be said of it any more
                self._store.forget(ueid)
                continue
            late = decide_silence(ueid, entry.state, now_us, self._trust(now_us, ueid), self._identity.name)
            if late is None:
                continue
            outcomes.append(self._outcome(ueid, late, now_us, changed, evidence=None))
            _LOG.info("attester-overdue", ueid=ueid_text(ueid), last_received_us=late.state.received_us)
        if outcomes:
            self._store_all(outcomes, changed)
        return len(outcomes)

    def resolve(self, handle: HandleId, now_us: int) -> int:
        """Stores results for pushes that were pending for want of this handle, for :meth:`settle`; returns how many.

        Raises:
            WorldError: ``store-unavailable``; call again with the same.
        """
        changed: dict[Ueid, _Cached] = {}
        outcomes = []
        waited = self._awaited.take(handle)
        try:
            for ueid in waited:
                state = self._entry(ueid, changed).state
                if state is None:
                    continue
                resolved = decide_handle(ueid, state, now_us, self._trust(now_us, ueid), self._identity.name)
                if resolved is not None:
                    outcomes.append(self._outcome(ueid, resolved, now_us, changed, evidence=None))
            if outcomes:
                self._store_all(outcomes, changed)
        except BaseException:
            for ueid in waited:
                self._awaited.add(ueid, handle)
            raise
        return len(outcomes)

    def settle(self) -> None:
        """Records and publishes all that is stored; only then may the batch be acknowledged.

        Raises:
            WorldError: ``store-unavailable``; call again.
        """
        started_s = monotonic_s()
        self._audit.append([(item.number, item.audit) for item in self._unrecorded if item.audit is not None])
        self._progress.recorded(self._unrecorded, started_s)
        self._unpublished.extend(self._unrecorded)
        self._unrecorded.clear()
        self.publish_pending()

    def published(self, publisher_id: int, at_s: float | None = None) -> None:
        """The broker has a message, since ``at_s``; its outcome may be forgotten with the next transaction."""
        item = self._under_way.pop(publisher_id, None)
        if item is not None:
            self._done.append(item.number)
            if item.arrival is not None and at_s is not None:
                self._progress.confirmed(item.arrival, item.since_s, at_s)

    def publish_pending(self) -> None:
        """Hands the publisher what it has not taken yet, in order, until it refuses."""
        taken = 0
        for item in self._unpublished:
            if item.result is None:
                self._done.append(item.number)
            else:
                payload, topic = result_token.wrap(item.result), self._identity.topics.results(item.ueid)
                publisher_id = self._publisher.publish(topic, payload, retain=True, expiry_s=_expiry_s(item.expires_us))
                if publisher_id is None:
                    break
                now_s = monotonic_s()
                self._under_way[publisher_id] = _UnderWay(item.number, item.arrival, now_s)
                if item.arrival is not None:
                    self._progress.handed_over(item.arrival, now_s)
            taken += 1
        del self._unpublished[:taken]

    def record(self, objects: Sequence[ObjectEntry]) -> None:
        """Makes trust objects durable, and has them recorded; :meth:`settle` is the caller's next line.

        One transaction holds both: an object in force is on its way to the audit log, one that is not is neither stored
        nor recorded. So the entry stands before the first evidence that was judged with it.

        Raises:
            WorldError: ``store-unavailable``; call again with the same.
        """
        if not objects:
            self.flush()
        nobody = Ueid(b"")
        audits = (encode_entry(each) for each in objects)
        self._store_all(
            [Outcome(ueid=nobody, state=None, result=None, expires_us=0, audit=audit) for audit in audits], {}
        )

    def flush(self) -> None:
        """Makes durable what the trust store holds back, and forgets what has been published."""
        self._store.commit([], self._take_done())

    def _take(
        self, received: Received, changed: dict[Ueid, _Cached]
    ) -> tuple[Outcome | None, tuple[Ueid, SolicitRequest] | None]:
        """One message through decoding and ``step``; puts the attester's next entry into ``changed``."""
        try:
            ueid = parse_ueid_text(received.ueid_text)
        except PeerError as error:
            _report_refusal(received, error)
            return None, None
        entry, received_us = self._entry(ueid, changed), received.received_us
        trust = self._trust(received_us, ueid)
        decided = decide_push(ueid, entry.state, received.payload, received_us, trust, self._identity.name)
        solicit = (ueid, decided.solicit) if decided.solicit is not None else None
        if isinstance(decided, Decision):
            result_metrics.ACCEPTED.inc()
            if decided.solicit is None and decided.state.settled:
                self._solicitor.answered(ueid)
            return self._outcome(ueid, decided, received_us, changed, evidence=received), solicit
        if decided.refused is None:
            result_metrics.DUPLICATES.inc()
            return _repeated_result(ueid, entry, received_us), None
        _report_refusal(received, decided.refused)
        entry.state = decided.state
        audit = _audit_entry(received, ueid, reasons=[decided.refused.reason], result=None, whole=False)
        self._progress.refused(decided.refused.reason)
        return Outcome(ueid=ueid, state=None, result=None, expires_us=0, audit=audit), solicit

    def _entry(self, ueid: Ueid, changed: dict[Ueid, _Cached]) -> _Cached:
        """The attester's entry for this batch: a copy, so that a failed batch leaves the cache as it was."""
        if ueid in changed:
            return changed[ueid]
        cached = self._cache.get(ueid)
        if cached is None:
            stored = self._store.load(ueid)
            cached = _cached_from(stored)
        changed[ueid] = _Cached(state=cached.state, result=cached.result, result_expires_us=cached.result_expires_us)
        return changed[ueid]

    def _outcome(
        self, ueid: Ueid, decided: Decision, now_us: int, changed: dict[Ueid, _Cached], *, evidence: Received | None
    ) -> Outcome:
        """Signs the result of a decision, counts and reports it, and makes its audit entry."""
        state, result = decided.state, decided.result
        result_metrics.count_result(result, decided.findings)
        if result.freshness is Freshness.PENDING:
            self._awaited.add(ueid, state.sync.handle)
        else:
            self._awaited.remove(ueid)
        self._report_change(ueid, changed[ueid].state, result)
        token, expires_us = self._signer.sign(result), result.expires_s * SECOND_US
        changed[ueid] = _Cached(state=state, result=token, result_expires_us=expires_us)
        source = evidence or Received(ueid_text=ueid_text(ueid), payload=b"", received_us=now_us)
        audit = _audit_entry(source, ueid, reasons=list(result.reasons), result=token, whole=evidence is not None)
        arrival = None if source.arrived_s is None else Arrival(arrived_s=source.arrived_s, body=state.evidence)
        return Outcome(ueid=ueid, state=state, result=token, expires_us=expires_us, audit=audit, arrival=arrival)

    def _store_all(self, outcomes: Sequence[Outcome], changed: dict[Ueid, _Cached]) -> None:
        """The first of the effects: one transaction, all or nothing."""
        done, started_s = self._take_done(), monotonic_s()
        try:
            stored = self._store.commit(outcomes, done) if outcomes or done else []
        except BaseException:
            self._done = done + self._done
            raise
        self._progress.stored(stored, started_s)
        self._remember(changed)
        self._unrecorded.extend(stored)

    def _remember(self, changed: dict[Ueid, _Cached]) -> None:
        for ueid, entry in changed.items():
            if entry.state is not None:
                self._cache[ueid] = entry
                self._cache.move_to_end(ueid)
        while len(self._cache) > self._cached_states:
            self._cache.popitem(last=False)

    def _take_done(self) -> list[int]:
        done, self._done = self._done, []
        return done

    def _report_change(self, ueid: Ueid, before: AttesterState | None, built: AttestationResult) -> None:
        if before is None or (before.verdict.status, before.verdict.reasons) != (built.status, built.reasons):
            _LOG.info("verdict", ueid=ueid_text(ueid), status=built.status, reasons=",".join(built.reasons))


def _cached_from(stored: StoredAttester | None) -> _Cached:
    if stored is None:
        return _Cached(state=None, result=None, result_expires_us=0)
    return _Cached(state=stored.state, result=stored.result, result_expires_us=stored.result_expires_us)


def _repeated_result(ueid: Ueid, entry: _Cached, now_us: int) -> Outcome | None:
    """The stored result once more: the first one may have been lost with the broker."""
    if entry.result is None or entry.result_expires_us <= now_us:
        return None
    return Outcome(ueid=ueid, state=None, result=entry.result, expires_us=entry.result_expires_us, audit=None)


def _report_refusal(received: Received, error: PeerError) -> None:
    result_metrics.REFUSED.inc()
    result_metrics.REFUSED_TOTAL.labels("evidence", error.reason).inc()
    _LOG.warning("evidence-refused", ueid=received.ueid_text[:64], reason=error.reason, detail=error.detail)


def _audit_entry(received: Received, ueid: Ueid, *, reasons: Sequence[str], result: bytes | None, whole: bool) -> bytes:
    """One audit entry: when, who, the evidence (its digest alone where it was refused), why, the result."""
    return encode_entry(
        EvidenceEntry(
            received_us=received.received_us,
            ueid=ueid,
            reasons=reasons,
            result=result,
            digest=hashlib.sha256(received.payload).digest(),
            payload=received.payload if whole else None,
        )
    )


def _expiry_s(expires_us: int) -> int:
    return max(1, (expires_us - utc_us()) // SECOND_US)
