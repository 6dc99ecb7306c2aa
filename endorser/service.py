"""Runs the enrolment service: opens registry, broker and metrics, hands them to :class:`EnrolmentService`."""

from endorser.adapters.vendor_files import load_vendors
from endorser.enrolment_service import MAX_PAYLOAD_BYTES, EnrolmentService, Inbox
from endorser.registrar import open_registrar
from endorser.settings import ROLE, Settings
from runtime import clock
from runtime.durable import check_folder_of, sole_user
from runtime.health import Health, broker_condition
from runtime.keys import load_signing_key
from runtime.metrics_page import serve_metrics
from runtime.mqtt import MqttConnection, Session, Will
from runtime.service import Stop, installed_version
from schemas import media_types
from schemas.codecs import cmw
from schemas.messages.status import Status, encode_status


def check_files(settings: Settings) -> None:
    """Reads all files that the configuration names.

    Raises:
        ConfigError: names the file that is missing or wrong.
    """
    check_folder_of(settings.registry, "registry")
    load_signing_key(settings.signing_key, made_by="endorser keygen")
    load_vendors(settings.vendors)


def run_service(settings: Settings, stop: Stop) -> None:
    """Serves until ``stop``.

    Raises:
        ConfigError: names the file that is missing or wrong, or in use by another process.
    """
    check_folder_of(settings.registry, "registry")
    with sole_user(settings.registry, "registry"), open_registrar(settings) as (registrar, registry):
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


def _status(name: str, *, online: bool) -> bytes:
    status = Status(role=ROLE, name=name, online=online, version=installed_version())
    return cmw.wrap(media_types.STATUS, encode_status(status), None)
