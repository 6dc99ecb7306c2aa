"""One function a sub-command: builds the parts from the settings and puts them to work."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from prometheus_client import Gauge

from handle_distributor.epoch_bell import BellRules, EpochBell
from handle_distributor.handle_export import HandleExport
from handle_distributor.handle_file import HandleFile
from handle_distributor.handle_publisher import MqttHandlePublisher
from handle_distributor.ports import HandlePublisher
from handle_distributor.service import BellService
from handle_distributor.settings import ROLE, Settings
from runtime import clock
from runtime.durable import check_folder_of, write_durable
from runtime.health import Health, handle_condition
from runtime.keys import generate_key_pair, load_public_keys, load_signing_key, public_path, read_file
from runtime.metrics_page import serve_metrics
from runtime.service import Stop
from runtime.settings import naming
from runtime.telemetry import Log
from runtime.time_stamps.client import open_authorities
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.codecs import cose
from schemas.codecs.tst_info import parse_tst_info
from schemas.errors import ConfigError, WorldError
from schemas.instants import SECOND_US, iso_text
from schemas.messages.handle import Handle, verify_handle
from schemas.reasons import Reason

_LOG: Final = Log("handle_distributor")
_AGE: Final = Gauge(
    "attestream_handle_age_seconds", "Time since the newest handle's TSA stamp; NaN while there is none"
)
_INTERVAL: Final = Gauge("attestream_handle_interval_seconds", "How often a handle is to be issued (interval_s)")
_LIFETIME: Final = Gauge("attestream_handle_lifetime_seconds", "How long a handle is accepted (lifetime_s)")


class _Unpublished:
    def publish(self, handle: Handle) -> None:
        """Keeps it to ourselves; the next ``run`` publishes what is in the store."""


def build_bell(settings: Settings, publisher: HandlePublisher, store: HandleFile) -> EpochBell:
    """All parts of the distributor but the broker connection and the schedule.

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


def check(settings: Settings, version: str) -> None:
    """Everything that can be wrong before the first tick: files, keys, certificates, URLs.

    Raises:
        ConfigError: the first that is.
    """
    _publisher(settings, version)
    build_bell(settings, _Unpublished(), HandleFile(settings.state_file))
    check_folder_of(settings.state_file, "state_file", made_if_missing=True)


def run(settings: Settings, version: str, stop: Stop) -> None:
    """Issues and publishes handles until ``stop``.

    Raises:
        ConfigError: before any work; also when another process uses the state file.
        WorldError: ``store-unavailable`` when the last handle cannot be read.
    """
    publisher, store = _publisher(settings, version), HandleFile(settings.state_file)
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
        BellService(lambda: bell.ring() is not None, settings.interval_s, on_watch=health.beat).run(stop)
    finally:
        publisher.stop()
        _LOG.info("stopped", name=settings.name)


def issue_once(settings: Settings, output: Path) -> str:
    """Makes one handle, as the next of the chain, and writes it to ``output``; publishes nothing.

    Returns:
        The handle for people.

    Raises:
        ConfigError: as :func:`run`. The folder of ``output`` was checked before: a TSA's stamp is not for nothing.
        WorldError: no TSA's answer counted (the log says why for each), or the store failed.
    """
    store = HandleFile(settings.state_file)
    bell = build_bell(settings, _Unpublished(), store)
    with store.owned():
        bell.resume()
        handle = bell.ring()
    if handle is None:
        raise WorldError(Reason.TSA_UNREACHABLE, "no handle could be made; the log above has the reason for each TSA")
    write_durable(output, handle.raw)
    return describe(handle)


def export(settings: Settings, output: Path, stop: Stop | None, tell: Callable[[str], None]) -> None:
    """Writes the newest handle to ``output``, whether or not a distributor runs.

    Args:
        settings: of the distributor.
        output: replaced as a whole; its folder was checked before.
        stop: also every later handle until then; None for the one there is.
        tell: called with each exported handle, for people.

    Raises:
        ConfigError: ``output`` is the state file; a key or a root cannot be read.
        WorldError: there is no handle yet, or a file failed; not while following.
        PeerError: the state file holds no handle that verifies; not while following.
    """
    if output.absolute().resolve() == settings.state_file.absolute().resolve():
        raise ConfigError(f"state_file: {output}: is the distributor's own; export to another file")
    with naming("tsa.roots, tsa.intermediates"):
        stamps = load_time_stamp_verifier(settings.tsa.roots, settings.tsa.intermediates)
    keys = trusted_keys(settings, [])
    exporting = HandleExport(settings.state_file, output, lambda raw: verify_handle(raw, keys, stamps))
    if stop is None:
        tell(describe(exporting.once()))
    else:
        exporting.follow(stop, lambda handle: tell(f"{describe(handle)}\n"))


def show(path: Path, keys: dict[bytes, EllipticCurvePublicKey], roots: list[Path]) -> str:
    """A handle's file, verified, for people.

    Raises:
        ConfigError: the file, a key or a root cannot be read.
        PeerError: the handle does not verify.
    """
    return describe(verify_handle(read_file(path), keys, load_time_stamp_verifier(roots)))


def trusted_keys(settings: Settings | None, paths: list[Path]) -> dict[bytes, EllipticCurvePublicKey]:
    """The distributors' keys to believe: from files, and the configured distributor's own."""
    own = {}
    if settings is not None:
        with naming("signing_key"):
            public = load_signing_key(settings.signing_key).public_key()
        own[cose.key_id(public)] = public
    return load_public_keys(paths) | own


def make_key(out: Path) -> str:
    """Makes the signing key; returns what to tell the operator."""
    key = generate_key_pair(out)
    return f"{public_path(out)}: give this to attesters and verifiers (key id {cose.key_id(key.public_key()).hex()})"


def describe(handle: Handle) -> str:
    """A verified handle as lines of text."""
    claims, sign1 = handle.claims, cose.parse(handle.raw, "handle")
    token = sign1.unprotected[cose.HEADER_3161_CTT]
    certificates = load_der_pkcs7_certificates(token) if isinstance(token, bytes) else []
    marker = parse_tst_info(claims.epoch_marker)
    lines = {
        "id": handle.id.hex(),
        "issuer": f"{claims.issuer} (key {sign1.key_id.hex()})",
        "time": f"{_utc(handle.time_us)} ± {handle.accuracy_us / SECOND_US:g} s, by the TSA",
        "epoch marker": f"{_utc(marker.gen_time_us)}, serial {marker.serial}, policy {marker.policy}",
        "not before": _utc(claims.not_before_s * SECOND_US),
        "expires": _utc(handle.expires_us),
        "previous": claims.previous.hex() if claims.previous else "none: the first of its chain",
        "TSA": "; ".join(certificate.subject.rfc4514_string() for certificate in certificates),
        "size": f"{len(handle.raw)} bytes",
    }
    return "\n".join(f"{name + ':':<14}{value}" for name, value in lines.items())


def _publisher(settings: Settings, version: str) -> MqttHandlePublisher:
    return MqttHandlePublisher(
        settings.mqtt, settings.name, version=version, utc_us=clock.utc_us, monotonic_s=clock.monotonic_s
    )


def _age_s(last: Handle | None) -> float:
    return float("nan") if last is None else (clock.utc_us() - last.time_us) / SECOND_US


def _times(last: Handle | None) -> tuple[int, int] | None:
    return None if last is None else (last.time_us, last.expires_us)


def _utc(time_us: int) -> str:
    return iso_text(time_us, "milliseconds")
