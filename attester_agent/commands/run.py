"""What the sub-commands do: put the parts together, and take them apart."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from attester_agent.adapters.handle_file import HandleFile
from attester_agent.adapters.inbox import Inbox
from attester_agent.adapters.kernel_view import read_kernel_view
from attester_agent.adapters.push_trace import PushTrace
from attester_agent.adapters.readiness import Readiness
from attester_agent.adapters.spool import SqliteSpool
from attester_agent.adapters.sync_stamper import TimeStampAuthority, TsaSyncStamper
from attester_agent.agent import FIRST_RETRY_S, LAST_RETRY_S, Agent, Trust, World, report_unreproduced
from attester_agent.claim_collection import ClaimCollection, is_selected, load_collectors
from attester_agent.claims import Collector, container_digests
from attester_agent.commands.provision import next_steps, write_identity
from attester_agent.core.agent_state import AgentState
from attester_agent.core.handle_gate import ClockTrust
from attester_agent.logs.kernel_logs import open_logs
from attester_agent.ports import Identity, MeasurementLog, SyncStamper
from attester_agent.push_maker import PushMaker
from attester_agent.settings import COMMAND, ROLE, EvidenceSettings, Settings
from attester_agent.tpm.device import TpmDevice
from runtime import clock
from runtime.durable import check_folder_of, check_readable, sole_user
from runtime.health import broker_condition
from runtime.keys import load_public_keys, read_file
from runtime.metrics_page import serve_metrics
from runtime.mqtt import MqttConnection, Session, Will
from runtime.service import Backoff, Stop, installed_version
from runtime.settings import naming
from runtime.telemetry import Log
from runtime.time_stamps.verifier import load_time_stamp_verifier
from runtime.tracing import open_tracer
from schemas.codecs import cmw
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.identifiers import ueid_text
from schemas.media_types import EVIDENCE, STATUS, Indicator
from schemas.messages.evidence import Evidence, parse_evidence
from schemas.messages.status import Status, encode_status
from schemas.tpm.attest import QuoteInfo, parse_attest
from schemas.tpm.pcr import selection_text

_LOG: Final = Log("agent")
T = TypeVar("T")


class Observed(NamedTuple):
    """Who is told how the agent does."""

    readiness: Readiness
    trace: PushTrace


def load_trust(settings: Settings) -> Trust:
    """Reads all keys and roots named in the configuration.

    Raises:
        ConfigError: names the file that is missing or wrong.
    """
    trust = settings.trust
    with naming("trust.distributor_keys"):
        distributors = load_public_keys(trust.distributor_keys)
    with naming("trust.verifier_keys"):
        verifiers = load_public_keys(trust.verifier_keys)
    with naming("trust.tsa_roots"):
        stamps = load_time_stamp_verifier(trust.tsa_roots)
    return Trust(distributors=distributors, verifiers=verifiers, stamps=stamps, clock=ClockTrust(trust.clock))


def load_stamper(settings: Settings) -> TsaSyncStamper | None:
    """Whom to ask for stamps of sync proofs; None where ``[sync_stamp]`` names nobody.

    Raises:
        ConfigError: names the file that is missing or wrong.
    """
    wanted = settings.sync_stamp
    if not wanted.urls:
        return None
    # Most agents ask no TSA; what asks one would be a sixth of their memory.
    client = importlib.import_module("runtime.time_stamps.client")
    with naming("sync_stamp.roots, sync_stamp.intermediates"):
        stamps = load_time_stamp_verifier(wanted.roots, wanted.intermediates)
    with naming("sync_stamp.tls_ca_file"):
        authorities: list[TimeStampAuthority] = [
            client.HttpTimeStampAuthority(
                address,
                stamps,
                timeout_s=wanted.timeout_s,
                monotonic_s=clock.monotonic_s,
                tls_ca_file=wanted.tls_ca_file,
            )
            for address in wanted.addresses
        ]
    return TsaSyncStamper(authorities, monotonic_s=clock.monotonic_s, random_bytes=clock.random_bytes)


def check_files(settings: Settings) -> None:
    """Everything that can be wrong before the TPM and the broker are asked; changes nothing.

    Raises:
        ConfigError: names the field and the file.
    """
    load_trust(settings)
    load_stamper(settings)
    if settings.handle_file is not None and settings.handle_file.is_dir():
        raise ConfigError(f"handle_file: {settings.handle_file}: is a folder, expected a file with a handle")
    logs = {"tcg2": settings.logs.tcg2, "ima": settings.logs.ima}
    logs |= {f"cel.{name}": path for name, path in settings.logs.cel.items()}
    for name, path in logs.items():
        if path is None:
            continue
        if name.startswith("cel.") and not path.exists():  # the first `attester-agent measure` makes it
            check_folder_of(path, f"logs.{name}")
        else:
            check_readable(path, f"logs.{name}")
    check_folder_of(settings.state, "state")


def run_agent(settings: Settings, stop: Stop) -> None:
    """Runs until ``stop``.

    Raises:
        ConfigError: the configuration, the state file, or what the TPM holds needs the operator.
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
        identity = _patiently(device.identity, readiness, stop)
        if identity is None:
            return
        readiness.tpm_answered()
        state = _state_of(identity, spool)
        _LOG.info("started", ueid=ueid_text(identity.ueid), sequence=state.sequence, waiting=spool.queued_messages)
        observed = Observed(readiness=readiness, trace=trace)
        _serve(settings, state, trust, spool, device, stamper, observed, stop)
    finally:
        spool.close()
        if tracer is not None:
            tracer.close()
    _LOG.info("stopped")


def provision(settings: Settings, folder: Path, stop: Stop) -> str:
    """Makes the attesting key, writes the device's identity into ``folder``; returns what to tell the operator.

    Raises:
        ConfigError, WorldError: the TPM or the folder refused.
    """
    identity = TpmDevice(settings.tpm, pause=stop.wait).identity()
    write_identity(identity, folder)
    return next_steps(identity, folder)


def describe_file(path: Path) -> str:
    """An evidence payload, as it travels, in words. Nothing is verified.

    Raises:
        ConfigError: the file cannot be read.
        PeerError: it is not evidence.
    """
    payload = read_file(path)
    return "\n".join(_describe(parse_evidence(cmw.unwrap(payload, EVIDENCE, Indicator.EVIDENCE)), len(payload)))


def describe_claims(settings: Settings) -> str:
    """The claims that this device makes now, a line each, with what else than its word speaks for them.

    Claims that the selection leaves out are named after them.
    """
    collectors, select = _collectors(settings), settings.claims.select
    lines = []
    for name, value in ClaimCollection(collectors, select, label=settings.name).current().items():
        collector = collectors.get(name.partition("/")[0])
        measured_in = collector.measured_in if collector is not None else ""
        lines.append(f"{name} = {value!r}" + (f"  (also in the {measured_in})" if measured_in else ""))
    left_out = [name for name, each in sorted(collectors.items()) if not is_selected(name, each, select)]
    return "\n".join([*lines, *(f"not selected: {name}" for name in left_out)])


def _collectors(settings: Settings) -> dict[str, Collector]:
    containers = settings.claims.containers
    return load_collectors() | ({"containers": container_digests(containers)} if containers else {})


def _state_of(identity: Identity, spool: SqliteSpool) -> AgentState:
    """The stored state, if it is of this device and key; otherwise a new one, and nothing of another device is sent."""
    state = spool.load()
    if state is not None and state.ueid == identity.ueid and state.environment == identity.environment:
        return state
    fresh = AgentState(ueid=identity.ueid, environment=identity.environment)
    if state is not None:
        _LOG.warning("new-identity", dropped=spool.queued_messages, next="the next push is a baseline")
    spool.clear(fresh)
    return fresh


def _patiently(work: Callable[[], T], readiness: Readiness, stop: Stop) -> T | None:
    """Repeats what the world lets fail; None when a stop was requested before it worked."""
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
    observed: Observed,
    stop: Stop,
) -> None:
    topics, evidence, label = settings.mqtt.topics, settings.evidence, settings.name
    device_id = ueid_text(state.ueid)
    logs = open_logs(tcg2=settings.logs.tcg2, ima=settings.logs.ima, cel=settings.logs.cel, pause=stop.wait)
    inbox = Inbox()
    offline = Will(topic=topics.status(ROLE, device_id), payload=_status(label or device_id, online=False))
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
    world = World(
        maker=_maker(evidence, device, logs, stamper, observed.trace),
        logs=logs,
        spool=spool,
        transport=connection,
        topics=topics,
        collect_claims=ClaimCollection(_collectors(settings), settings.claims.select, label=label).current,
        status=_status(label or device_id, online=True),
        handle_source=None if settings.handle_file is None else HandleFile(settings.handle_file),
        readiness=observed.readiness,
        trace=observed.trace,
    )
    observed.readiness.health.ask("broker", lambda: broker_condition(connection))
    connection.start()
    try:
        Agent(state, evidence, trust, world).run(inbox, stop)
    finally:
        connection.publish(offline.topic, offline.payload, retain=True)
        connection.stop()


def _maker(
    evidence: EvidenceSettings,
    device: TpmDevice,
    logs: Sequence[MeasurementLog],
    stamper: SyncStamper | None,
    trace: PushTrace,
) -> PushMaker:
    maker = PushMaker(
        device,
        logs,
        selection=evidence.selection,
        max_bytes=evidence.max_evidence_bytes,
        baseline_every=evidence.baseline_every,
        on_unreproduced=report_unreproduced,
        kernel=read_kernel_view,
        stamper=stamper,
    )
    maker.tell(trace)
    return maker


def _status(name: str, *, online: bool) -> bytes:
    status = Status(role=ROLE, name=name, online=online, version=installed_version())
    return cmw.wrap(STATUS, encode_status(status), None)


def _describe(evidence: Evidence, size: int) -> Iterator[str]:
    body = evidence.body
    yield f"evidence of {size} bytes, NOT VERIFIED"
    yield f"ueid         {ueid_text(body.ueid)}"
    yield f"key          {body.environment.hex()}"
    yield f"sequence     {body.sequence} ({'full' if body.previous is None else 'delta'})"
    if body.previous is not None:
        yield f"previous     {body.previous.hex()}"
    yield f"body digest  {evidence.body_digest.hex()}"
    for name, raw in (("sync", body.sync.attest), ("quote", evidence.quote)):
        try:
            attest = parse_attest(raw)
        except PeerError as error:
            yield f"{name:12} {error}"
            continue
        clock = attest.clock_info
        yield (
            f"{name:12} {attest.type.name.lower()} at {clock.clock} ms, boot {clock.reset_count}, "
            f"wake {clock.restart_count}, safe {clock.safe}, about {attest.extra_data.hex()}"
        )
        if name == "quote" and isinstance(attest.attested, QuoteInfo):
            yield f"pcrs         {selection_text(attest.attested.pcr_selection)} = {attest.attested.pcr_digest.hex()}"
    if body.sync_stamp is not None:
        yield f"sync stamp   {len(body.sync_stamp)} bytes, over {body.sync_imprint.hex()}"
    for each in body.transitions:
        yield (
            f"transition   {each.kind.name.lower()} before {each.clock_ms} ms, boot {each.reset_count}, "
            f"wake {each.restart_count}"
        )
    yield from (f"claim        {name} = {value!r}" for name, value in sorted(body.claims.items()))
    for bank, values in evidence.unsigned_pcrs.items():
        yield from (f"pcr          {bank.name}:{index} = {digest.hex()}" for index, digest in values.items())
    for name, start in body.logs.items():
        increment = evidence.unsigned_increments.get(name)
        beyond = "nothing new" if increment is None else f"{len(increment.records)} bytes, up to {increment.total}"
        yield f"log          {name} from entry {start}: {beyond}"
