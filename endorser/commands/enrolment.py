"""``endorser serve`` and the commands of operators: who waits, who may come in, who must go. And enrolment by files."""

import argparse
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from endorser.adapters.registry import Registry
from endorser.adapters.vendor_files import load_vendors
from endorser.core.enrolment import Standing
from endorser.registrar import Registrar, request_label
from endorser.service import MAX_PAYLOAD_BYTES, EnrolmentService, Inbox
from endorser.settings import ROLE, Settings
from runtime import clock
from runtime.durable import check_folder_of, sole_user, write_durable
from runtime.health import Health, broker_condition
from runtime.keys import load_signing_key, read_file
from runtime.metrics_page import serve_metrics
from runtime.mqtt import MqttConnection, Session, Will
from runtime.service import Stop, installed_version
from runtime.settings import load, naming
from runtime.telemetry import configure_logging
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import ConfigError, PeerError
from schemas.identifiers import Ueid, parse_ueid_text, ueid_text
from schemas.messages.status import Status, encode_status

STANDINGS = {
    "reject": Standing.REJECTED,
    "revoke": Standing.REVOKED,
    "decommission": Standing.DECOMMISSIONED,
    "readmit": Standing.ADMITTED,
}
COMMANDS = frozenset({"serve", "pending", "approve", "devices", "record", "enrolment", *STANDINGS})


def run(options: argparse.Namespace) -> str:
    """Runs one of :data:`COMMANDS`; returns what to tell the operator.

    Raises:
        ConfigError: the configuration or an option is wrong.
        PeerError: what was enrolled is refused, with its reason.
        WorldError: the registry or the broker failed.
    """
    settings = load(options.config, Settings, ROLE)
    configure_logging(ROLE, settings.log_level)
    with naming(options.config):
        if options.command == "serve":
            return _serve(settings, check_only=options.check_config)
        with _registrar(settings) as (registrar, registry):
            return _operate(options, registrar, registry)


def _serve(settings: Settings, *, check_only: bool) -> str:
    check_folder_of(settings.registry, "registry")
    if check_only:
        load_signing_key(settings.signing_key, made_by="endorser keygen")
        load_vendors(settings.vendors)
        return "settings, key, certificates and revocation lists are fine"
    stop = Stop().on_signals()
    with sole_user(settings.registry, "registry"), _registrar(settings) as (registrar, registry):
        health = Health(ROLE, monotonic_s=clock.monotonic_s)
        serve_metrics(settings.metrics_port, health, host=settings.metrics_host)
        inbox = Inbox()
        topics, status = settings.mqtt.topics, settings.mqtt.topics.status(ROLE, settings.name)
        offline = Will(topic=status, payload=_status(settings.name, online=False))
        connection = MqttConnection(
            settings.mqtt,
            Session(
                client_id=f"{ROLE}-{settings.name}",
                subscriptions=(topics.all_enrol,),
                max_payload_bytes=MAX_PAYLOAD_BYTES,
                will=offline,
            ),
            on_message=inbox.message,
            on_published=inbox.published,
            on_connected=inbox.connected,
        )
        online = Will(topic=status, payload=_status(settings.name, online=True))
        health.ask("broker", lambda: broker_condition(connection))
        service = EnrolmentService(registrar, registry, connection, topics, settings.limits, online, health)
        connection.start()
        try:
            service.run(inbox, stop)
        finally:
            connection.publish(offline.topic, offline.payload, retain=True)
            connection.stop()
    return "stopped"


def _status(name: str, *, online: bool) -> bytes:
    status = Status(role=ROLE, name=name, online=online, version=installed_version())
    return cmw.wrap(media_types.STATUS, encode_status(status), None)


@contextmanager
def _registrar(settings: Settings) -> Iterator[tuple[Registrar, Registry]]:
    key = load_signing_key(settings.signing_key, made_by="endorser keygen")
    vendors = load_vendors(settings.vendors)
    registry = Registry(settings.registry)
    try:
        yield Registrar(settings, vendors, key, registry), registry
    finally:
        registry.close()


def _operate(options: argparse.Namespace, registrar: Registrar, registry: Registry) -> str:
    now_s = clock.utc_s()
    match options.command:
        case "pending":
            lines = [
                f"{ueid_text(each.ueid)} --request {request_label(each.raw_request)}  since {_time(each.since_s)}  "
                f"{each.summary}"
                for each in registry.pending()
            ]
            return "\n".join(lines) or "nobody waits"
        case "devices":
            lines = [
                f"{ueid_text(each.ueid)}  {each.standing:14} version {each.version}  {each.name or '-'}"
                + ("" if each.group is None else f"  group {each.group}")
                for each in registry.devices()
            ]
            return "\n".join(lines) or "no device"
        case "record":
            lines = [
                f"{_time(each.at_s)}  {each.action:14} {ueid_text(each.ueid)}  by {each.who}  {each.detail}"
                for each in registry.records()
            ]
            return "\n".join(lines) or "nothing was decided yet"
        case "approve":
            endorsement, _, whom = registrar.approve(
                _ueid(options.ueid), now_s, _who(options.by), request=options.request
            )
            return _written(options.out, endorsement, f"approved: {whom}; `endorser serve` publishes the endorsement")
        case "enrolment":
            return _by_file(options, registrar, now_s)
        case _:
            standing = STANDINGS[options.command]
            ended = registrar.change_standing(_ueid(options.ueid), standing, now_s, _who(options.by), options.why)
            said = f"{standing}; no endorsement made here was in force"
            if ended is not None:
                said = f"{standing}; `endorser serve` publishes the version that ends the endorsement"
            return _written(options.out, ended, said)


def _by_file(options: argparse.Namespace, registrar: Registrar, now_s: int) -> str:
    """The same messages as over the broker, a file each."""
    payload = read_file(getattr(options, "in"))
    if options.step == "challenge":
        ueid, answer = registrar.challenge(payload, None, now_s)
        what = "challenge; bring it to the device: attester-agent enrol --in"
    else:
        ueid, answer = registrar.accept(payload, None, now_s, _who(options.by))
        what = "outcome; bring it to the device: attester-agent enrol --in"
    write_durable(options.out, answer)
    return f"{ueid_text(ueid)}: {options.out} holds the {what} {options.out.name}"


def _written(out: Path | None, signed: bytes | None, otherwise: str) -> str:
    if out is None or signed is None:
        return otherwise
    write_durable(out, signed)
    return f"{otherwise}; written to {out}"


def _who(by: str | None) -> str:
    if by is not None:
        return by
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _ueid(text: str) -> Ueid:
    try:
        return parse_ueid_text(text)
    except PeerError as error:
        raise ConfigError(f"UEID {text[:80]!r}: {error.detail}") from error


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
