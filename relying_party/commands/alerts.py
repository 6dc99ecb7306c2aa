"""``relying-party alerts``: runs the alert service, lists and retries undelivered alerts, tests the receivers."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relying_party.alerts.alert_text import alert_id, plain, time_text
from relying_party.alerts.delivery import Receivers
from relying_party.alerts.ledger import Batch, Outgoing
from relying_party.alerts.service import AlertService, Runners, receivers_of
from relying_party.alerts.settings import ROLE, AlertSettings
from relying_party.alerts.store import AlertStore
from relying_party.settings import load_verifier_keys
from runtime import clock
from runtime import settings as settings_files
from runtime.command_line import EXIT_FAILED, EXIT_OK
from runtime.durable import check_folder_of, sole_user
from runtime.monitoring.metrics_page import serve_metrics
from runtime.service import Stop
from runtime.settings import naming
from runtime.telemetry import LEVELS, configure_logging
from schemas.errors import ConfigError
from schemas.messages.alert import Alert, AlertKind

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_EPILOG: Final = """examples:
  relying-party alerts --config alerts.toml --check-config   read the settings, the keys and the secrets, then stop
  relying-party alerts --config alerts.toml                  run until SIGTERM or Ctrl-C
  relying-party alerts --config alerts.toml --test           queue a test alert for every receiver
  relying-party alerts --config alerts.toml --failed         list alerts that were given up; exit status 1 if any
  relying-party alerts --config alerts.toml --retry          queue them again

deploy/alerts.toml.example explains every setting. docs/alerts.md says when an alert is sent and how to verify it.
Exit status: 0, 1 when something failed, 2 for a wrong configuration."""


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser(
        "alerts",
        help="send alerts about changed verdicts to webhooks, Alertmanager and a topic",
        description="Follow the results topic; when a verdict changes, alert webhooks, Alertmanager and an MQTT topic.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML; see the example")
    what = command.add_mutually_exclusive_group()
    what.add_argument("--check-config", action="store_true", help="read the settings, then stop")
    what.add_argument("--failed", action="store_true", help="list alerts that were given up")
    what.add_argument("--retry", action="store_true", help="queue alerts that were given up again")
    what.add_argument("--test", action="store_true", help="queue a test alert for every receiver")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs ``alerts``; returns the exit status.

    Raises:
        ConfigError: names the file and the field.
        WorldError: ``store-unavailable``.
    """
    settings = settings_files.load(options.config, AlertSettings, ROLE)
    with naming(options.config):
        if settings.log_level not in LEVELS:
            raise ConfigError(f"log_level: {settings.log_level!r}, expected one of {', '.join(LEVELS)}")
        configure_logging("relying-party", settings.log_level)
        check_folder_of(settings.database, "database")
        if options.check_config:
            return _check(settings)
        if options.failed:
            return _failed(settings)
        if options.retry or options.test:
            return _queue(settings, test=options.test)
        with sole_user(settings.database, "database"):
            return _serve(settings)


def _serve(settings: AlertSettings) -> int:
    stop = Stop().on_signals()
    runners = Runners(settings)
    store = AlertStore(settings.database)
    try:
        service = AlertService(settings, store)
        serve_metrics(settings.metrics_port, service.health, host=settings.metrics_host)
        service.restore()
        runners.start(stop)
        service.run(stop, runners)
    finally:
        stop.request()
        runners.stop()
        store.close()
    return EXIT_OK


def _check(settings: AlertSettings) -> int:
    """Reads everything that a run reads; creates no file."""
    Runners(settings)
    load_verifier_keys(settings.verifier_keys)
    print(f"settings are right: {len(settings.rules)} rules, alerts go to {', '.join(settings.receivers)}")
    return EXIT_OK


def _failed(settings: AlertSettings) -> int:
    if not settings.database.exists():
        print("no alert was given up: there is no database yet")
        return EXIT_OK
    store = AlertStore(settings.database)
    try:
        given_up = store.failed()
    finally:
        store.close()
    for each in given_up:
        line = (time_text(each.made_s), each.receiver, each.alert.kind, f"{each.tries} tries", plain(each.why, 200))
        print("  ".join(line), f"    {each.alert.id}  {each.alert.summary}", sep="\n")
    print(f"{len(given_up)} given up" if given_up else "no alert was given up")
    return EXIT_FAILED if given_up else EXIT_OK


def _queue(settings: AlertSettings, *, test: bool) -> int:
    store = AlertStore(settings.database)
    try:
        if not test:
            print(f"{store.retry_failed(clock.utc_s())} queued again; the running service delivers them")
            return EXIT_OK
        _queue_test(store, receivers_of(settings))
    finally:
        store.close()
    print(f"a test alert is queued for {', '.join(settings.receivers)}; the running service delivers it")
    return EXIT_OK


def _queue_test(store: AlertStore, receivers: Receivers) -> None:
    now_s = clock.utc_s()
    outgoing = Outgoing(
        alert=Alert(
            id=alert_id(clock.random_bytes(16), 0),  # not a serial of the database: the service may be running
            kind=AlertKind.TEST,
            made_s=now_s,
            summary="This is a test alert that an operator asked for. Nothing has happened.",
            next_step="Nothing.",
        )
    )
    batch = Batch(outgoing=(outgoing,), opened={"test": outgoing}, closed=(), reported=(), serial=store.serial)
    store.commit({}, batch, receivers, now_s)
