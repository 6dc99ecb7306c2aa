"""Command line of the attester agent."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from attester_agent.commands import check_files, describe_claims, describe_file, provision, run_agent
from attester_agent.enrol_command import add_enrol, run_enrol
from attester_agent.measure_command import MeasureRequest, run_measure
from attester_agent.settings import COMMAND, Settings
from runtime.service import Stop, installed_version, run_command
from runtime.settings import load, naming
from runtime.telemetry import configure_logging


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    return run_command(lambda: _command(options))


def _command(options: argparse.Namespace) -> None:
    if options.command == "show":
        print(describe_file(options.file))
        return
    settings = load(options.config, Settings, COMMAND)
    configure_logging(COMMAND, settings.log_level)
    if options.command == "provision":
        print(provision(settings, options.out, Stop().on_signals()))
    elif options.command == "enrol":
        print(run_enrol(settings, options, Stop().on_signals()))
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="attester-agent", description="Pushes TPM evidence of this device.")
    parser.add_argument("--version", action="version", version=f"attester-agent {installed_version()}")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="push evidence until stopped")
    run.add_argument("--config", type=Path, required=True, help="TOML file")
    run.add_argument("--check-config", action="store_true", help="only check the configuration and the files it names")
    make = commands.add_parser("provision", help="make the attesting key and write what the endorser needs")
    make.add_argument("--config", type=Path, required=True, help="TOML file")
    make.add_argument("--out", type=Path, required=True, help="folder for attester.ueid, ak.tpmt_public and ak.pem")
    make.set_defaults(check_config=False)
    add_enrol(commands)
    claims = commands.add_parser("claims", help="print the claims that this device makes")
    claims.add_argument("--config", type=Path, required=True, help="TOML file")
    claims.set_defaults(check_config=False)
    measure = commands.add_parser(
        "measure", help="measure a file into a PCR and a CEL log; works beside a running agent"
    )
    measure.add_argument("--config", type=Path, required=True, help="TOML file")
    measure.add_argument("--pcr", type=int, required=True, help="PCR to extend, in all banks")
    measure.add_argument("--type", required=True, help="kind of thing, as dotted words: app.config")
    measure.add_argument("--file", type=Path, required=True, help="what to measure")
    measure.add_argument("--name", help="what to call it; default: the file's absolute path")
    measure.add_argument("--log", help="CEL log by its name in [logs.cel]; default: the first there")
    measure.set_defaults(check_config=False)
    show = commands.add_parser("show", help="print an evidence message for people; verifies nothing")
    show.add_argument("file", type=Path, help="an MQTT payload saved to a file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
