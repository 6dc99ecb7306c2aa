"""``endorser publish``: puts signed objects on their topics, retained."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from endorser.commands.options import add_endorser_key
from endorser.settings import ROLE
from endorser.signed_files import publish_files
from runtime.mqtt import MqttSettings
from runtime.telemetry import configure_logging
from schemas.topics import DEFAULT_ROOT

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("publish", help="put signed objects on their topics, retained")
    parser.add_argument("--mqtt-host", default="127.0.0.1", help="the broker (default: %(default)s)")
    parser.add_argument("--mqtt-port", type=int, default=1883, help="its port (default: %(default)s)")
    parser.add_argument("--root", default=DEFAULT_ROOT, help="first levels of all topics (default: %(default)s)")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    add_endorser_key(parser, required=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Publishes all files, and prints their topics once the broker has them."""
    configure_logging(ROLE, "warning")
    settings = MqttSettings(host=arguments.mqtt_host, port=arguments.mqtt_port, root=arguments.root)
    for publication in publish_files(settings, arguments.endorser_key, arguments.files):
        print(f"{publication.topic}: {len(publication.payload)} bytes, retained")
