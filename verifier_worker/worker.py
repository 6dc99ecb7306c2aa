"""Takes batches of messages, decides them, and orders the effects so that nothing is lost (invariant I21).

    store state, result and audit entry  ->  append to the audit log (fsync)  ->  publish  ->  acknowledge

A batch is stored in one transaction. After a crash at any line the broker delivers unacknowledged messages again, and
the outbox repeats outcomes that were stored but not recorded or not published. Uses ports, no MQTT and no SQL.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from runtime.clock import monotonic_s, utc_us
from runtime.ports import Publisher
from runtime.telemetry import Logger
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
from verifier_worker.core.decision import (
    DEVELOPER,
    Decision,
    decide_handle,
    decide_push,
    decide_silence,
    decide_withdrawal,
)
from verifier_worker.core.state import AttesterState
from verifier_worker.core.step import SolicitRequest, one_more
from verifier_worker.core.trust import Trust
from verifier_worker.ports import Arrival, AuditLog, Outcome, Pending, StateStore, StoredAttester

_DUE_AT_ONCE: Final = 256
_LOG: Final = Logger("verifier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One evidence message.

    Attributes:
        ueid_text: the topic's last level.
        payload: as it arrived.
        received_us: receipt, UTC microseconds.
        arrived_s: when it came off the network, by the monotonic clock; for metrics alone.
    """

    ueid_text: str
    payload: bytes
    received_us: int
    arrived_s: float | None = None


class _UnderWay(NamedTuple):
    number: int
    arrival: Arrival | None
    since_s: float  # since the publisher took it


class Worker:
    """Owns the cache of states and the outbox. Called by one thread."""

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
        """Recovers: records the outbox now, and publishes it as soon as the publisher takes it.

        Args:
            identity: name, key and topics.
            store: durable state and outbox.
            audit: the audit log.
            publisher: sends to relying parties and attesters.
            trust: returns the trust in force at a time (UTC microseconds) for an attester.
            solicit_interval_s: least time between two solicits to one attester; doubles with each not answered.
            cached_states: attesters kept in memory.
            progress: measures the stages of each push.
        """
        self._identity = identity
        self._progress = progress or PushProgress()
        self._signer = ResultSigner(identity.key, DEVELOPER, BUILD, identity.result_format)
        self._store, self._audit, self._publisher, self._trust = store, audit, publisher, trust
        self._solicitor = Solicitor(identity, publisher, interval_s=solicit_interval_s, limit=cached_states)
        self._cached_states = cached_states
        self._cache: OrderedDict[Ueid, StoredAttester] = OrderedDict()
        self._under_way: dict[int, _UnderWay] = {}  # by publisher's id
        self._done: list[int] = []
        self._awaited = AwaitedHandles(cached_states)
        store.number_after(audit.last_number())
        self._unpublished: list[Pending] = []
        self._unrecorded: list[Pending] = list(store.pending())
        self.settle()

    @property
    def unpublished(self) -> int:
        """The number of outcomes that the publisher has not taken yet."""
        return len(self._unpublished)

    @property
    def unconfirmed(self) -> int:
        """The number of results that the publisher has taken and whose delivery is not reported yet."""
        return len(self._under_way)

    def process(self, batch: Sequence[Received]) -> None:
        """Decides a batch of evidence and stores the outcomes; then the caller must call :meth:`settle`.

        Raises:
            WorldError: ``store-unavailable``; nothing of the batch has taken effect, call again with the same batch.
        """
        changed: dict[Ueid, StoredAttester] = {}
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
        """Stores stale results of attesters whose deadline has passed, for :meth:`settle`; returns their number."""
        changed: dict[Ueid, StoredAttester] = {}
        outcomes = []
        for ueid in self._store.due(now_us, _DUE_AT_ONCE):
            entry = self._entry(ueid, changed)
            if entry.state is None:  # stored by another version, or damaged
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
        """Stores results of pushes that waited for this handle, for :meth:`settle`; returns their number.

        Raises:
            WorldError: ``store-unavailable``; call again with the same handle.
        """
        changed: dict[Ueid, StoredAttester] = {}
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

    def withdraw(self, ueids: Iterable[Ueid], now_us: int) -> int:
        """Stores results of attesters whose endorsements were withdrawn, for :meth:`settle`; returns their number.

        Raises:
            WorldError: ``store-unavailable``; call again with the same attesters.
        """
        changed: dict[Ueid, StoredAttester] = {}
        outcomes = []
        for ueid in ueids:
            state = self._entry(ueid, changed).state
            if state is None:
                continue
            ended = decide_withdrawal(ueid, state, now_us, self._trust(now_us, ueid), self._identity.name)
            if ended is not None:
                outcomes.append(self._outcome(ueid, ended, now_us, changed, evidence=None))
        if outcomes:
            self._store_all(outcomes, changed)
        return len(outcomes)

    def settle(self) -> None:
        """Records and publishes everything that is stored; only then may the batch be acknowledged.

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
        """The broker confirmed a message at ``at_s``; the next transaction deletes its outcome from the outbox."""
        item = self._under_way.pop(publisher_id, None)
        if item is not None:
            self._done.append(item.number)
            if item.arrival is not None and at_s is not None:
                self._progress.confirmed(item.arrival, item.since_s, at_s)

    def publish_pending(self) -> None:
        """Hands unpublished outcomes to the publisher, in order, until it takes no more."""
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
        """Stores trust objects with their audit entries; then the caller must call :meth:`settle`.

        One transaction stores both. So the audit log has the object before the first evidence that was judged with it
        (invariant I23).

        Raises:
            WorldError: ``store-unavailable``; call again with the same objects.
        """
        if not objects:
            self.flush()
        nobody = Ueid(b"")
        audits = (encode_entry(each) for each in objects)
        self._store_all(
            [Outcome(ueid=nobody, state=None, result=None, expires_us=0, audit=audit) for audit in audits], {}
        )

    def flush(self) -> None:
        """Commits what the trust store has saved, and deletes published outcomes from the outbox."""
        self._store.commit([], self._take_done())

    def _take(
        self, received: Received, changed: dict[Ueid, StoredAttester]
    ) -> tuple[Outcome | None, tuple[Ueid, SolicitRequest] | None]:
        """Decides one message; puts the attester's next entry into ``changed``."""
        try:
            ueid = parse_ueid_text(received.ueid_text)
        except PeerError as error:
            _report_refusal(received, error)
            return None, None
        entry, received_us = self._entry(ueid, changed), received.received_us
        trust = self._trust(received_us, ueid)
        name, refused_before = self._identity.name, entry.refused_before
        decided = decide_push(
            ueid, entry.state, received.payload, received_us, trust, name, refused_before=refused_before
        )
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
        if decided.state is None and ueid in trust.endorsed:  # else strangers would fill the memory
            refused_before = one_more(refused_before, decided.refused.reason, received_us)
        changed[ueid] = replace(entry, state=decided.state, refused_before=refused_before)
        audit = _audit_entry(received, ueid, reasons=[decided.refused.reason], result=None, whole=False)
        self._progress.refused(decided.refused.reason)
        return Outcome(ueid=ueid, state=None, result=None, expires_us=0, audit=audit), solicit

    def _entry(self, ueid: Ueid, changed: dict[Ueid, StoredAttester]) -> StoredAttester:
        """The attester's newest entry, from this batch, the cache or the store; puts it into ``changed``."""
        entry = changed.get(ueid) or self._cache.get(ueid) or self._store.load(ueid) or StoredAttester()
        changed[ueid] = entry
        return entry

    def _outcome(
        self,
        ueid: Ueid,
        decided: Decision,
        now_us: int,
        changed: dict[Ueid, StoredAttester],
        *,
        evidence: Received | None,
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
        changed[ueid] = StoredAttester(state=state, result=token, result_expires_us=expires_us)
        source = evidence or Received(ueid_text=ueid_text(ueid), payload=b"", received_us=now_us)
        audit = _audit_entry(source, ueid, reasons=list(result.reasons), result=token, whole=evidence is not None)
        arrival = None if source.arrived_s is None else Arrival(arrived_s=source.arrived_s, body=state.evidence)
        return Outcome(ueid=ueid, state=state, result=token, expires_us=expires_us, audit=audit, arrival=arrival)

    def _store_all(self, outcomes: Sequence[Outcome], changed: dict[Ueid, StoredAttester]) -> None:
        """The first effect: one transaction, all or nothing (invariant I22)."""
        done, started_s = self._take_done(), monotonic_s()
        try:
            stored = self._store.commit(outcomes, done) if outcomes or done else []
        except BaseException:
            self._done = done + self._done
            raise
        self._progress.stored(stored, started_s)
        self._remember(changed)
        self._unrecorded.extend(stored)

    def _remember(self, changed: dict[Ueid, StoredAttester]) -> None:
        for ueid, entry in changed.items():
            if entry.state is not None or entry.refused_before is not None:
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


def _repeated_result(ueid: Ueid, entry: StoredAttester, now_us: int) -> Outcome | None:
    """Publishes the stored result again: the broker may have lost the first one."""
    if entry.result is None or entry.result_expires_us <= now_us:
        return None
    return Outcome(ueid=ueid, state=None, result=entry.result, expires_us=entry.result_expires_us, audit=None)


def _report_refusal(received: Received, error: PeerError) -> None:
    result_metrics.REFUSED.inc()
    result_metrics.REFUSED_TOTAL.labels("evidence", error.reason).inc()
    _LOG.warning("evidence-refused", ueid=received.ueid_text[:64], reason=error.reason, detail=error.detail)


def _audit_entry(received: Received, ueid: Ueid, *, reasons: Sequence[str], result: bytes | None, whole: bool) -> bytes:
    """The audit entry of a message: time, attester, evidence (only its digest if refused), reasons, result."""
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
