"""The command line of ``attester-agent``."""

import argparse
from pathlib import Path

from attester_agent.commands.enrol import add_enrol
from attester_agent.commands.passport import add_passport
from runtime.service import installed_version


def parser() -> argparse.ArgumentParser:
    """All sub-commands and their options."""
    top = argparse.ArgumentParser(prog="attester-agent", description="Pushes TPM evidence of this device.")
    top.add_argument("--version", action="version", version=f"attester-agent {installed_version()}")
    commands = top.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="push evidence until stopped")
    run.add_argument("--config", type=Path, required=True, help="TOML file")
    run.add_argument("--check-config", action="store_true", help="only check the configuration and the files it names")
    run.add_argument("--handle-file", type=Path, help="a raw handle, as handle-distributor export writes it; watched")
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
    doctor = commands.add_parser(
        "doctor", help="look at TPM, logs, broker, clock, enrolment and say what to do; changes nothing"
    )
    doctor.add_argument("--config", type=Path, required=True, help="TOML file")
    doctor.add_argument(
        "--endorser-key", type=Path, action="append", default=[], help="public key that the endorsement must have"
    )
    doctor.set_defaults(check_config=False)
    add_passport(commands)
    show = commands.add_parser("show", help="print an evidence message for people; verifies nothing")
    show.add_argument("file", type=Path, help="an MQTT payload saved to a file")
    return top
