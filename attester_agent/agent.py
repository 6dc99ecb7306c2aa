"""The agent's loop. It owns the state, the spool and the TPM; the network thread only puts events into its queue.

Effects of a push, in order: TPM → spool (push and state in one transaction, invariant I26) → publish → acknowledgement
by the broker → removal from the spool. An agent that is killed continues after the last of these that happened: it
makes the push again from the same state, or publishes the same bytes again.

Without an accepted handle the agent pushes nothing, because every push is bound to a handle. It uses an old handle
until a newer one arrives; the verifier decides how old evidence may be.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from attester_agent.adapters import metrics as agent_metrics
from attester_agent.adapters.inbox import Acknowledged, Connected, Event, Inbox, Received
from attester_agent.adapters.push_trace import PushTrace
from attester_agent.adapters.readiness import Readiness
from attester_agent.core.agent_state import AgentState, on_solicit, require_baseline
from attester_agent.core.evidence_builder import Push
from attester_agent.core.handle_gate import ClockTrust, accept_handle, is_overdue
from attester_agent.core.solicit_gate import check_solicit
from attester_agent.core.trust import Trust
from attester_agent.ports import HandleSource, LogRestartedError, MeasurementLog, Spool
from attester_agent.push_maker import PushMaker
from attester_agent.settings import ROLE, EvidenceSettings
from runtime import clock
from runtime.handle_chain_watch import ChainWatch
from runtime.mqtt import Message
from runtime.ports import Transport
from runtime.service import Backoff, Stop
from runtime.telemetry import Logger
from schemas.codecs import cmw
from schemas.errors import PeerError, WorldError
from schemas.identifiers import HandleId, ueid_text
from schemas.instants import SECOND_US
from schemas.media_types import HANDLE, SOLICIT, Indicator
from schemas.messages.evidence import ClaimValue
from schemas.messages.handle import verify_handle
from schemas.messages.solicit import verify_solicit
from schemas.reasons import Reason
from schemas.token_bucket import full_bucket
from schemas.topics import TopicKind, Topics

IN_FLIGHT_MESSAGES: Final = 16  # published and not acknowledged
PUBLISH_AGAIN_S: Final = 60.0  # for brokers that refused a push, or did not acknowledge it
STOP_POLL_S: Final = 0.25
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 60.0

_LOG: Final = Logger("agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """The parts that the agent works with.

    Attributes:
        maker: makes pushes with the TPM and ``logs``.
        logs: measurement logs, watched for growth.
        spool: keeps state and pushes.
        transport: the broker.
        topics: names under the configured root.
        collect_claims: returns all current claims.
        status: message to publish, retained, after connecting.
        handle_source: brings handles beside the broker; None for the broker only.
        readiness: what ``/readyz`` reports.
        trace: records how long each stage of a push takes.
    """

    maker: PushMaker
    logs: Sequence[MeasurementLog]
    spool: Spool
    transport: Transport
    topics: Topics
    collect_claims: Callable[[], Mapping[str, ClaimValue]]
    status: bytes
    handle_source: HandleSource | None = None
    readiness: Readiness = field(default_factory=Readiness)
    trace: PushTrace = field(default_factory=PushTrace)


@dataclass(frozen=True, slots=True, kw_only=True)
class _InFlight:
    number: int
    since_s: float
    body: bytes


class Agent:
    """The loop. The thread that calls :meth:`run` owns everything in it."""

    def __init__(
        self, state: AgentState, settings: EvidenceSettings, trust: Trust, collaborators: Collaborators
    ) -> None:
        """Continues from ``state``; the first push is due at once.

        Args:
            state: of this device and attesting key.
            settings: table ``[evidence]``.
            trust: whose handles and solicits the agent accepts.
            collaborators: the TPM, the broker and the other parts that the agent works with.
        """
        self._state = state
        self._settings = settings
        self._trust = trust
        self._maker = collaborators.maker
        self._logs = tuple(collaborators.logs)
        self._spool = collaborators.spool
        self._transport = collaborators.transport
        self._topics = collaborators.topics
        self._collect_claims = collaborators.collect_claims
        self._status = collaborators.status
        self._chain = ChainWatch(_LOG)
        self._handle_source = collaborators.handle_source
        self._readiness, self._trace = collaborators.readiness, collaborators.trace
        self._readiness.bound_to(state.handle, trust.clock)
        self._in_flight: dict[int, _InFlight] = {}
        self._published = 0  # number of the last push handed to the transport
        self._acknowledged: list[int] = []
        self._backoff = Backoff(FIRST_RETRY_S, LAST_RETRY_S)
        now_s = clock.monotonic_s()
        self._due_s = now_s  # when the next push is due
        self._retry_s = now_s  # not before this, after a failure
        self._poll_s = now_s
        self._waits_for_handle = False
        self._overdue: HandleId | None = None  # the handle that was reported as overdue
        self._bucket = full_bucket(settings.solicit_burst, settings.solicits_per_minute / 60, now_s)
        self._note_spool()
        agent_metrics.SPOOL_LIMIT.set(settings.spool_max_bytes)

    @property
    def state(self) -> AgentState:
        """The state that was stored last."""
        return self._state

    def run(self, inbox: Inbox, stop: Stop) -> None:
        """Runs until a stop is requested."""
        while not stop.requested:
            wait_s = self._next_s() - clock.monotonic_s()
            self.turn(inbox.wait(min(max(wait_s, 0.0), STOP_POLL_S)))

    def turn(self, events: Sequence[Event]) -> None:
        """One turn of the loop: handles events, makes a push if one is due, publishes waiting pushes."""
        self._readiness.beat()
        for event in events:
            match event:
                case Received(message):
                    self._receive(message)
                case Acknowledged(packet_id):
                    flight = self._in_flight.pop(packet_id, None)
                    if flight is not None:
                        self._acknowledged.append(flight.number)
                        self._trace.confirmed(flight.body, flight.since_s)
                case Connected():
                    self._connected()
                case unknown:
                    assert_never(unknown)
        try:
            self._forget_acknowledged()
            self._poll()
            now_s = clock.monotonic_s()
            if now_s >= self._due_s and now_s >= self._retry_s:
                self._push()
            self._publish()
        except WorldError as error:
            self._fail(error)

    def _connected(self) -> None:
        """Publishes the status. The transport repeats messages in flight itself, so only their timers restart."""
        now_s = clock.monotonic_s()
        self._in_flight = {packet_id: replace(flight, since_s=now_s) for packet_id, flight in self._in_flight.items()}
        self._transport.publish(self._topics.status(ROLE, ueid_text(self._state.ueid)), self._status, retain=True)

    def _next_s(self) -> float:
        """When the loop has something to do without an event."""
        return max(self._retry_s, min(self._due_s, self._poll_s))

    def _fail(self, error: WorldError) -> None:
        delay_s = self._backoff.next_s()
        self._retry_s = clock.monotonic_s() + delay_s
        self._readiness.failed(error)
        agent_metrics.FAILURES.labels(error.reason).inc()
        _LOG.warning("push-failed", reason=error.reason, detail=error.detail, retry_s=round(delay_s, 1))

    def _receive(self, message: Message) -> None:
        kind = self._topics.kind_of(message.topic)
        if kind is TopicKind.HANDLES:
            self._receive_handle(message.payload)
        elif kind is TopicKind.SOLICIT:
            self._receive_solicit(message.payload)

    def _receive_handle(self, payload: bytes) -> None:
        try:
            raw = cmw.unwrap(payload, HANDLE, Indicator.HANDLE)
            handle = verify_handle(raw, self._trust.distributors, self._trust.stamps)
            self._chain.follow(handle)
            last = self._state.handle
            if last is not None and handle.id == last.id:
                return  # the retained handle, again, after a reconnect
            accepted = accept_handle(handle, last, now_us=clock.utc_us(), clock=self._trust.clock)
        except PeerError as error:
            agent_metrics.HANDLES_REJECTED.labels(error.reason).inc()
            _LOG.warning("handle-rejected", reason=error.reason, detail=error.detail)
            return
        agent_metrics.HANDLES.inc()
        _LOG.info("handle-accepted", handle=accepted.id.hex()[:16], issuer=handle.claims.issuer)
        self._readiness.bound_to(accepted, self._trust.clock)
        self._state = replace(self._state, handle=accepted)  # stored with the push that follows
        self._due_s = clock.monotonic_s()

    def _receive_solicit(self, payload: bytes) -> None:
        try:
            solicit = verify_solicit(cmw.unwrap(payload, SOLICIT, None), self._trust.verifiers)
            check_solicit(solicit, self._state.ueid, self._state.solicits)
            bucket = self._bucket.take(clock.monotonic_s())
            if bucket is None:
                agent_metrics.SOLICITS_REJECTED.labels("rate-limited").inc()
                _LOG.warning("solicit-rate-limited", verifier=solicit.verifier)
                return
            state = on_solicit(self._state, solicit)
            self._spool.save(state)  # first, so that the same solicit is not accepted again after a restart
        except PeerError as error:
            agent_metrics.SOLICITS_REJECTED.labels(error.reason).inc()
            _LOG.warning("solicit-rejected", reason=error.reason, detail=error.detail)
            return
        except WorldError as error:
            self._fail(error)
            return
        agent_metrics.SOLICITS.inc()
        _LOG.info("solicited", verifier=solicit.verifier, reason=solicit.reason, full=solicit.full)
        self._bucket = bucket
        self._state = state
        self._maker.forget_sync()
        self._due_s = clock.monotonic_s()

    def _poll(self) -> None:
        now_s = clock.monotonic_s()
        if now_s < self._poll_s:
            return
        self._poll_s = now_s + self._settings.log_poll_s
        self._poll_handle_source()
        self._watch_handle()
        if any(log.has_grown() for log in self._logs) or self._maker.has_woken(self._state):
            self._due_s = min(self._due_s, now_s)

    def _poll_handle_source(self) -> None:
        try:
            raw = None if self._handle_source is None else self._handle_source.poll()
        except (PeerError, WorldError) as error:  # raised once for each change of the source
            agent_metrics.HANDLES_REJECTED.labels(error.reason).inc()
            _LOG.warning("handle-rejected", reason=error.reason, detail=error.detail)
            return
        if raw is not None:
            self._receive_handle(cmw.wrap(HANDLE, raw, Indicator.HANDLE))

    def _watch_handle(self) -> None:
        """Reports once for each handle that it expired before a newer one arrived. Pushes continue (invariant I9)."""
        handle, now_us = self._state.handle, clock.utc_us()
        if handle is None or self._trust.clock is ClockTrust.UNTRUSTED:
            return
        agent_metrics.HANDLE_AGE.set((now_us - handle.time_us) / SECOND_US)
        if not is_overdue(handle, now_us=now_us):
            self._overdue = None
        elif self._overdue != handle.id:
            self._overdue = handle.id
            agent_metrics.HANDLES_OVERDUE.labels(Reason.HANDLE_OVERDUE).inc()
            _LOG.warning(Reason.HANDLE_OVERDUE, handle=handle.id.hex()[:16], expired_us=handle.expires_us)

    def _push(self) -> None:
        handle = self._state.handle
        if handle is None:
            if not self._waits_for_handle:
                _LOG.warning("waiting-for-handle", next="no push before the first handle of a trusted distributor")
            self._waits_for_handle = True
            self._due_s = clock.monotonic_s() + self._settings.heartbeat_s
            return
        self._waits_for_handle = False
        started_s = self._trace.begin()
        try:
            push = self._maker.make(self._state, handle, self._collect_claims())
        except LogRestartedError as error:
            _LOG.warning("log-restarted", detail=error.detail)
            state = require_baseline(self._state)
            self._spool.save(state)
            self._state = state
            return  # the push is still due: the next turn makes a baseline
        self._readiness.tpm_answered()
        self._store(push, started_s)

    def _store(self, push: Push, started_s: float) -> None:
        if not self._spool.fits(len(push.payload)):
            self._overflow()
            return
        with self._trace.stage("spool"):
            self._spool.add(push.state, push.payload)
        self._readiness.stored()
        self._trace.stored(push.state.previous, started_s, sequence=push.sequence)
        self._state = push.state
        self._backoff.reset()
        now_s = clock.monotonic_s()
        self._due_s = now_s + self._next_in_s(push)
        agent_metrics.PUSHES.labels("full" if push.full else "delta").inc()
        agent_metrics.PUSH_SECONDS.observe(now_s - started_s)
        agent_metrics.PUSH_BYTES.observe(len(push.payload))
        self._note_spool()
        _LOG.info("pushed", sequence=push.sequence, full=push.full, bytes=len(push.payload), logs=_progress(push))

    def _next_in_s(self, push: Push) -> float:
        """Seconds from ``push`` to the next one, if nothing else happens."""
        if not push.complete and self._spool.fits(2 * self._settings.max_evidence_bytes):
            return 0.0
        return self._settings.log_poll_s if push.behind else self._settings.heartbeat_s

    def _overflow(self) -> None:
        """Drops all waiting pushes; the next one is a baseline, which needs no earlier push."""
        dropped = self._spool.queued_messages
        state = require_baseline(self._state)
        self._spool.clear(state)
        self._state = state
        self._in_flight.clear()
        agent_metrics.OVERFLOWS.inc()
        agent_metrics.DROPPED.inc(dropped)
        self._note_spool()
        _LOG.error("spool-overflow", dropped=dropped, next="the next push is a baseline; see spool_max_bytes")

    def _publish(self) -> None:
        now_s = clock.monotonic_s()
        if not self._transport.is_connected:
            return
        if any(now_s - flight.since_s > PUBLISH_AGAIN_S for flight in self._in_flight.values()):
            _LOG.warning("publish-again", messages=len(self._in_flight))
            self._in_flight.clear()
            self._published = 0
        room = IN_FLIGHT_MESSAGES - len(self._in_flight)
        if room <= 0 or self._spool.queued_messages == len(self._in_flight):
            return
        topic = self._topics.evidence(self._state.ueid)
        for push in self._spool.waiting(self._published, room):
            packet_id = self._transport.publish(topic, push.payload)
            if packet_id is None:
                return
            self._in_flight[packet_id] = _InFlight(
                number=push.number, since_s=now_s, body=self._trace.body_of(push.payload)
            )
            self._published = push.number

    def _forget_acknowledged(self) -> None:
        if self._acknowledged:
            self._spool.remove(self._acknowledged)
            self._acknowledged = []
            self._note_spool()

    def _note_spool(self) -> None:
        agent_metrics.SPOOLED.set(self._spool.queued_messages)
        agent_metrics.SPOOL_BYTES.set(self._spool.queued_bytes)


def _progress(push: Push) -> str:
    """How many entries of each measurement log were sent: ``ima 1200/5000``, or ``ima 5000`` for all."""
    counts = ((name, push.sent[name], total) for name, total in sorted(push.totals.items()))
    return " ".join(f"{name} {sent}" if sent == total else f"{name} {sent}/{total}" for name, sent, total in counts)


def report_unreproduced(problem: str) -> None:
    """Logs and counts a push whose measurement logs do not reproduce its quote; for ``PushMaker``."""
    agent_metrics.UNREPRODUCED.inc()
    _LOG.error("quote-not-reproduced", detail=problem, next="compare the logs' paths and the PCRs with the device")
