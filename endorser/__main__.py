"""``endorser``: signs endorsements and reference values, and publishes them."""

import argparse
import sys

from endorser import commands, enrolment_commands
from endorser.arguments import parser
from runtime.mqtt import MqttSettings
from runtime.service import run_command
from runtime.telemetry import configure_logging


def main(arguments: list[str] | None = None) -> int:
    """Runs one sub-command; returns the exit status."""
    options = parser().parse_args(arguments)
    configure_logging("endorser", "warning")
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if options.command in enrolment_commands.COMMANDS:
        print(enrolment_commands.run(options))
        return
    match options.command:
        case "keygen":
            print(commands.make_key(options.out))
        case "endorse":
            made = commands.statement(options.name, options.version, options.days)
            ueid = commands.ueid_option(options.ueid)
            commands.endorse_to_file(made, options.key, ueid, options.ak_public, options.out, options.group)
        case "reference-values":
            _refer(options)
        case "publish":
            settings = MqttSettings(host=options.mqtt_host, port=options.mqtt_port, root=options.root)
            for publication in commands.publish_files(settings, options.endorser_key, options.files):
                print(f"{publication.topic}: {len(publication.payload)} bytes, retained")
        case _:
            for path in options.files:
                print(commands.show_file(options.endorser_key, path))


def _refer(options: argparse.Namespace) -> None:
    made = commands.statement(options.signer, options.version, options.days)
    selection = "+".join(f"{bank}:{options.indices}" for bank in options.banks.split("+"))
    commands.refer_to_file(
        made,
        options.key,
        options.name,
        pcrs=None if options.pcrs is None else (options.pcrs, selection),
        files=commands.digests_option(options.digests, options.files),
        keys=options.ima_key,
        out=options.out,
    )


if __name__ == "__main__":
    sys.exit(main())
