"""Command line of the attester agent."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

from attester_agent.arguments import parser
from attester_agent.commands.doctor import run_doctor
from attester_agent.commands.enrol import run_enrol
from attester_agent.commands.measure import MeasureRequest, run_measure
from attester_agent.commands.passport import passport_request, run_passport
from attester_agent.commands.run import check_files, describe_claims, describe_file, provision, run_agent
from attester_agent.settings import COMMAND, Settings
from runtime.service import Stop, run_command
from runtime.settings import load, naming
from runtime.telemetry import configure_logging


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = parser().parse_args(arguments)
    return run_command(lambda: _command(options))


def _command(options: argparse.Namespace) -> int | None:
    if options.command == "show":
        print(describe_file(options.file))
        return None
    settings = load(options.config, Settings, COMMAND)
    if options.command == "run" and options.handle_file is not None:
        settings = replace(settings, handle_file=options.handle_file.absolute())
    configure_logging(COMMAND, settings.log_level)
    if options.command == "provision":
        print(provision(settings, options.out, Stop().on_signals()))
    elif options.command == "passport":
        print(run_passport(settings, passport_request(options), Stop().on_signals()))
    elif options.command == "enrol":
        print(run_enrol(settings, options, Stop().on_signals()))
    elif options.command == "doctor":
        return run_doctor(settings, options.endorser_key, Stop().on_signals())
    elif options.command == "claims":
        print(describe_claims(settings))
    elif options.command == "measure":
        request = MeasureRequest(
            pcr=options.pcr, event_type=options.type, file=options.file, name=options.name, log=options.log
        )
        print(run_measure(settings, request, Stop().on_signals()))
    elif options.check_config:
        with naming(options.config):
            check_files(settings)
        print(f"{options.config}: settings, keys and files are fine")
    else:
        with naming(options.config):
            run_agent(settings, Stop().on_signals())
    return None


if __name__ == "__main__":
    raise SystemExit(main())
