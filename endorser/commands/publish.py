"""``endorser publish``: puts signed objects on their topics, retained, and states that they are in force."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endorser.commands.options import add_endorser_key
from endorser.commands.registry_options import decided_by
from endorser.settings import ROLE
from endorser.signed_files import publish_files
from runtime.mqtt import MqttSettings
from runtime.service import Stop
from runtime.telemetry import configure_logging
from schemas.errors import ConfigError
from schemas.topics import DEFAULT_ROOT

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_DESCRIPTION: Final = """Put signed objects on their topics, retained, and state that they are in force.

A verifier believes objects only while a recent statement of the endorser lists them: no older than the policy's
trust_max_age_s, a day by default. Every call signs one, and --every signs one again and again. It lists the objects of
earlier calls, too, until they are withdrawn; the file beside the key, endorser.statement, remembers them.
"""
_EPILOG: Final = """examples:
  endorser publish --endorser-key endorser.pub device-1.endorsement golden.reference-values
  endorser publish --endorser-key endorser.pub                                # sign the statement again
  endorser publish --endorser-key endorser.pub --every 3600                   # and every hour, until stopped
  endorser publish --endorser-key endorser.pub --withdraw policies/lab        # its groups have no policy then
  endorser publish --endorser-key endorser.pub --withdraw endorsements/UEID   # revoke a device's key

A device that `endorser serve` enrolled is revoked with `endorser revoke`.
"""


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser(
        "publish",
        help="put signed objects on their topics, retained, and state that they are in force",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("--mqtt-host", default="127.0.0.1", help="the broker (default: %(default)s)")
    parser.add_argument("--mqtt-port", type=int, default=1883, help="its port (default: %(default)s)")
    parser.add_argument("--root", default=DEFAULT_ROOT, help="first levels of all topics (default: %(default)s)")
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE")
    parser.add_argument("--key", type=Path, help="signs the statement (default: endorser.key beside endorser.pub)")
    parser.add_argument(
        "--withdraw", action="append", default=[], metavar="OBJECT", help="take an object out of force; see below"
    )
    parser.add_argument("--by", help="who withdraws it, for people (default: your user name)")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="sign the statement again, until stopped")
    add_endorser_key(parser, required=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Publishes all files, and prints their topics once the broker has them."""
    configure_logging(ROLE, "warning")
    if arguments.every is not None and arguments.every < 1:
        raise ConfigError(f"--every {arguments.every}: expected at least 1")
    stop = Stop().on_signals() if arguments.every is not None else Stop()
    _publish(arguments, arguments.files, arguments.withdraw)
    while arguments.every is not None and not stop.wait(arguments.every):
        _publish(arguments, [], [])


def _publish(arguments: argparse.Namespace, files: list[Path], withdraw: list[str]) -> None:
    settings = MqttSettings(host=arguments.mqtt_host, port=arguments.mqtt_port, root=arguments.root)
    published = publish_files(
        settings,
        arguments.endorser_key,
        files,
        key=arguments.key,
        withdraw=withdraw,
        by=decided_by(arguments.by) if withdraw else "",
    )
    for publication in published:
        print(f"{publication.topic}: {len(publication.payload)} bytes, retained", flush=True)
    if not published:
        raise ConfigError("nothing to publish: name a FILE, or the private key with --key to sign the statement again")
