"""Wires a distributor from its settings: runs it, makes one handle with it, or checks what a run would read."""

from typing import Final

from prometheus_client import Gauge

from handle_distributor.bell_schedule import BellSchedule
from handle_distributor.epoch_bell import BellRules, EpochBell
from handle_distributor.handle_publisher import MqttHandlePublisher
from handle_distributor.last_handle_file import LastHandleFile
from handle_distributor.ports import HandlePublisher
from handle_distributor.settings import ROLE, Settings
from runtime import clock
from runtime.durable import check_folder_of
from runtime.keys import load_signing_key
from runtime.monitoring.health import Health, handle_condition
from runtime.monitoring.metrics_page import serve_metrics
from runtime.service import Stop
from runtime.settings import naming
from runtime.telemetry import Logger
from runtime.time_stamps.client import open_authorities
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.errors import WorldError
from schemas.instants import SECOND_US
from schemas.messages.handle import Handle
from schemas.reasons import Reason

_LOG: Final = Logger("handle_distributor")
_AGE: Final = Gauge(
    "attestream_handle_age_seconds", "Time since the newest handle's TSA stamp; NaN while there is none"
)
_INTERVAL: Final = Gauge("attestream_handle_interval_seconds", "How often a handle is to be issued (interval_s)")
_LIFETIME: Final = Gauge("attestream_handle_lifetime_seconds", "How long a handle is accepted (lifetime_s)")


class _Unpublished:
    def publish(self, handle: Handle) -> None:
        """Does nothing; the next ``run`` publishes the handle in the state file."""


def build_bell(settings: Settings, publisher: HandlePublisher, store: LastHandleFile) -> EpochBell:
    """Builds all parts of the distributor except the broker connection and the schedule.

    Raises:
        ConfigError: names the setting or the file that is wrong.
    """
    tsa = settings.tsa
    with naming("tsa.roots, tsa.intermediates"):
        stamps = load_time_stamp_verifier(tsa.roots, tsa.intermediates)
    with naming("signing_key"):
        key = load_signing_key(settings.signing_key, made_by="handle-distributor keygen")
    return EpochBell(
        BellRules(
            issuer=settings.name,
            lifetime_s=settings.lifetime_s,
            max_clock_offset_us=round(tsa.max_clock_offset_s * SECOND_US),
            required_agreement=tsa.required_agreement,
        ),
        key=key,
        authorities=open_authorities(tsa.addresses, stamps, timeout_s=tsa.timeout_s, tls_ca_file=tsa.tls_ca_file),
        stamps=stamps,
        store=store,
        publisher=publisher,
        clock=clock,
    )


def check_service(settings: Settings, version: str) -> None:
    """Reads the files, keys, certificates and URLs that a run needs; changes nothing.

    Raises:
        ConfigError: names the first that is wrong.
    """
    _publisher(settings, version)
    build_bell(settings, _Unpublished(), LastHandleFile(settings.state_file))
    check_folder_of(settings.state_file, "state_file", made_if_missing=True)


def run_service(settings: Settings, version: str, stop: Stop) -> None:
    """Issues and publishes handles until ``stop``.

    Raises:
        ConfigError: before any work; also when another process uses the state file.
        WorldError: ``store-unavailable`` when the last handle cannot be read.
    """
    publisher, store = _publisher(settings, version), LastHandleFile(settings.state_file)
    bell = build_bell(settings, publisher, store)
    with store.owned():
        _serve(settings, bell, publisher, stop)


def _serve(settings: Settings, bell: EpochBell, publisher: MqttHandlePublisher, stop: Stop) -> None:
    health = Health(ROLE, monotonic_s=clock.monotonic_s)
    serve_metrics(settings.metrics_port, health, host=settings.metrics_host)
    _AGE.set_function(lambda: _age_s(bell.last))
    _INTERVAL.set(settings.interval_s)
    _LIFETIME.set(settings.lifetime_s)
    bell.resume()
    publisher.start()
    health.ask("broker", publisher.condition)
    health.ask("handle", lambda: handle_condition(_times(bell.last), clock.utc_us()))
    health.ask("published", publisher.delivered)
    _LOG.info("started", name=settings.name, interval_s=settings.interval_s, tsas=len(settings.tsa.urls))
    try:
        BellSchedule(lambda: bell.ring() is not None, settings.interval_s, on_watch=health.beat).run(stop)
    finally:
        publisher.stop()
        _LOG.info("stopped", name=settings.name)


def issue_handle(settings: Settings) -> Handle:
    """Makes one handle, as the next of the chain; publishes nothing.

    Raises:
        ConfigError: as :func:`run_service`.
        WorldError: no TSA stamped a handle (the log states why, for each), or the state file cannot be written.
    """
    store = LastHandleFile(settings.state_file)
    bell = build_bell(settings, _Unpublished(), store)
    with store.owned():
        bell.resume()
        handle = bell.ring()
    if handle is None:
        raise WorldError(Reason.TSA_UNREACHABLE, "no handle could be made; the log above has the reason for each TSA")
    return handle


def _publisher(settings: Settings, version: str) -> MqttHandlePublisher:
    return MqttHandlePublisher(
        settings.mqtt, settings.name, version=version, utc_us=clock.utc_us, monotonic_s=clock.monotonic_s
    )


def _age_s(last: Handle | None) -> float:
    return float("nan") if last is None else (clock.utc_us() - last.time_us) / SECOND_US


def _times(last: Handle | None) -> tuple[int, int] | None:
    return None if last is None else (last.time_us, last.expires_us)
