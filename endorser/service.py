"""Runs the enrolment service: opens registry, broker and metrics, hands them to :class:`EnrolmentService`."""

from functools import partial

from endorser.adapters.statement_file import StatementFile
from endorser.adapters.vendor_files import load_vendors
from endorser.enrolment_service import MAX_PAYLOAD_BYTES, EnrolmentService, Inbox
from endorser.registrar import open_registrar
from endorser.settings import ROLE, Settings
from endorser.stating import Stating
from runtime import clock
from runtime.durable import check_folder_of, sole_user
from runtime.keys import load_signing_key
from runtime.monitoring.health import Health, broker_condition
from runtime.monitoring.metrics_page import serve_metrics
from runtime.mqtt import MqttConnection, Session, Will
from runtime.service import Stop, installed_version
from schemas.messages.status import status_message


def check_files(settings: Settings) -> None:
    """Reads all files that the configuration names.

    Raises:
        ConfigError: names the file that is missing or wrong.
    """
    check_folder_of(settings.registry, "registry")
    check_folder_of(settings.statement_file, "statement")
    key = load_signing_key(settings.signing_key, made_by="endorser keygen")
    StatementFile(settings.statement_file, key, settings.name).last()
    load_vendors(settings.vendors)


def run_service(settings: Settings, stop: Stop) -> None:
    """Serves until ``stop``.

    Raises:
        ConfigError: names the file that is missing or wrong, or in use by another process.
    """
    check_folder_of(settings.registry, "registry")
    check_folder_of(settings.statement_file, "statement")
    with sole_user(settings.registry, "registry"), open_registrar(settings) as (registrar, registry):
        health = Health(ROLE, monotonic_s=clock.monotonic_s)
        serve_metrics(settings.metrics_port, health, host=settings.metrics_host)
        inbox = Inbox()
        topics = settings.mqtt.topics
        topic = topics.status(ROLE, settings.name)
        status = partial(status_message, ROLE, settings.name, version=installed_version())
        offline = Will(topic=topic, payload=status(online=False))
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
        online = Will(topic=topic, payload=status(online=True))
        health.ask("broker", lambda: broker_condition(connection))
        key = load_signing_key(settings.signing_key, made_by="endorser keygen")
        file = StatementFile(settings.statement_file, key, settings.name)
        stating = Stating(file, registry, connection, topics, settings.statement_every_s)
        service = EnrolmentService(registrar, registry, connection, topics, settings.limits, online, health, stating)
        connection.start()
        try:
            service.run(inbox, stop)
        finally:
            connection.publish(offline.topic, offline.payload, retain=True)
            connection.stop()
