"""Runs the agent: opens state, TPM, measurement logs and broker, hands them to :class:`attester_agent.agent.Agent`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

from attester_agent.adapters.handle_file import HandleFileSource
from attester_agent.adapters.inbox import Inbox
from attester_agent.adapters.kernel_view import read_kernel_view
from attester_agent.adapters.loaded_files import load_stamper, load_trust
from attester_agent.adapters.push_trace import PushTrace
from attester_agent.adapters.readiness import Readiness
from attester_agent.adapters.spool import SqliteSpool
from attester_agent.agent import FIRST_RETRY_S, LAST_RETRY_S, Agent, Collaborators, report_unreproduced
from attester_agent.claim_collection import ClaimCollection, collectors_of
from attester_agent.core.agent_state import AgentState
from attester_agent.core.trust import Trust
from attester_agent.logs.kernel_logs import open_measurement_logs
from attester_agent.ports import Identity, MeasurementLog, SyncStamper
from attester_agent.push_maker import PushMaker
from attester_agent.settings import COMMAND, ROLE, Settings
from attester_agent.tpm.device import TpmDevice
from runtime.durable import sole_user
from runtime.monitoring.health import broker_condition
from runtime.monitoring.metrics_page import serve_metrics
from runtime.monitoring.tracing import open_tracer
from runtime.mqtt import MqttConnection, Session, Will
from runtime.service import Backoff, Stop, installed_version
from runtime.telemetry import Logger
from schemas.errors import WorldError
from schemas.identifiers import ueid_text
from schemas.messages.status import status_message

_LOG: Final = Logger("agent")
T = TypeVar("T")


class Observers(NamedTuple):
    """The objects that the agent reports to."""

    readiness: Readiness
    trace: PushTrace


def run_agent(settings: Settings, stop: Stop) -> None:
    """Runs until ``stop``.

    Raises:
        ConfigError: the operator must correct the configuration, the state file or a key in the TPM.
    """
    trust, stamper = load_trust(settings), load_stamper(settings)
    with sole_user(settings.state, "state"):
        _run_alone(settings, trust, stamper, stop)


def _run_alone(settings: Settings, trust: Trust, stamper: SyncStamper | None, stop: Stop) -> None:
    readiness = Readiness()
    serve_metrics(settings.metrics_port, readiness.health, host=settings.metrics_host)
    spool = SqliteSpool(settings.state, max_bytes=settings.evidence.spool_max_bytes)
    tracer = None
    try:
        tracer = open_tracer(settings.tracing, COMMAND, settings.name or "")
        trace = PushTrace(tracer)
        device = TpmDevice(settings.tpm, pause=stop.wait, watch=trace.command)
        identity = _retry_until_ready(device.identity, readiness, stop)
        if identity is None:
            return
        readiness.tpm_answered()
        state = _state_of(identity, spool)
        _LOG.info("started", ueid=ueid_text(identity.ueid), sequence=state.sequence, waiting=spool.queued_messages)
        observers = Observers(readiness=readiness, trace=trace)
        _serve(settings, state, trust, spool, device, stamper, observers, stop)
    finally:
        spool.close()
        if tracer is not None:
            tracer.close()
    _LOG.info("stopped")


def _state_of(identity: Identity, spool: SqliteSpool) -> AgentState:
    """The stored state if it belongs to this device and key; otherwise a new one, and waiting pushes are dropped."""
    state = spool.load()
    if state is not None and state.ueid == identity.ueid and state.environment == identity.environment:
        return state
    fresh = AgentState(ueid=identity.ueid, environment=identity.environment)
    if state is not None:
        _LOG.warning("new-identity", dropped=spool.queued_messages, next="the next push is a baseline")
    spool.clear(fresh)
    return fresh


def _retry_until_ready(work: Callable[[], T], readiness: Readiness, stop: Stop) -> T | None:
    """Repeats ``work`` until it does not raise ``WorldError``; None if a stop was requested before."""
    backoff = Backoff(FIRST_RETRY_S, LAST_RETRY_S)
    while not stop.requested:
        readiness.beat()
        try:
            return work()
        except WorldError as error:
            readiness.failed(error)
            delay_s = backoff.next_s()
            _LOG.warning("tpm-not-ready", reason=error.reason, detail=error.detail, retry_s=round(delay_s, 1))
            stop.wait(delay_s)
    return None


def _serve(
    settings: Settings,
    state: AgentState,
    trust: Trust,
    spool: SqliteSpool,
    device: TpmDevice,
    stamper: SyncStamper | None,
    observers: Observers,
    stop: Stop,
) -> None:
    topics, evidence, label = settings.mqtt.topics, settings.evidence, settings.name
    device_id = ueid_text(state.ueid)
    logs = open_measurement_logs(tcg2=settings.logs.tcg2, ima=settings.logs.ima, cel=settings.logs.cel, pause=stop.wait)
    inbox = Inbox()
    status = partial(status_message, ROLE, label or device_id, version=installed_version())
    offline = Will(topic=topics.status(ROLE, device_id), payload=status(online=False))
    connection = MqttConnection(
        settings.mqtt,
        Session(
            client_id=f"{ROLE}-{device_id}",
            subscriptions=(topics.all_handles, topics.solicit(state.ueid)),
            persistent=True,
            will=offline,
        ),
        on_message=inbox.message,
        on_published=inbox.acknowledged,
        on_connected=inbox.connected,
    )
    collaborators = Collaborators(
        maker=_maker(settings, device, logs, stamper, observers.trace),
        logs=logs,
        spool=spool,
        transport=connection,
        topics=topics,
        collect_claims=ClaimCollection(collectors_of(settings.claims), settings.claims.select, label=label).current,
        status=status(online=True),
        handle_source=None if settings.handle_file is None else HandleFileSource(settings.handle_file),
        readiness=observers.readiness,
        trace=observers.trace,
    )
    observers.readiness.health.ask("broker", lambda: broker_condition(connection))
    connection.start()
    try:
        Agent(state, evidence, trust, collaborators).run(inbox, stop)
    finally:
        connection.publish(offline.topic, offline.payload, retain=True)
        connection.stop()


def _maker(
    settings: Settings,
    device: TpmDevice,
    logs: Sequence[MeasurementLog],
    stamper: SyncStamper | None,
    trace: PushTrace,
) -> PushMaker:
    evidence = settings.evidence
    maker = PushMaker(
        device,
        logs,
        selection=evidence.selection,
        max_bytes=evidence.max_evidence_bytes,
        baseline_every=evidence.baseline_every,
        on_unreproduced=report_unreproduced,
        kernel=partial(read_kernel_view, settings.boot_id_file),
        stamper=stamper,
    )
    maker.record_stages(trace)
    return maker
