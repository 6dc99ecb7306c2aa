"""``endorser enrolment``: enrols devices that have no network, by the same messages in files."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endorser.commands.registry_options import add_parser, decided_by, registrar_of
from runtime import clock
from runtime.durable import write_durable
from runtime.keys import read_file
from schemas.identifiers import Ueid, ueid_text

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_DESCRIPTION: Final = """Enrol a device by carrying four files; A is the device, E this machine:

  A: attester-agent enrol --config agent.toml --out request.cbor
  E: endorser enrolment challenge --config endorser.toml --in request.cbor --out challenge.cbor
  A: attester-agent enrol --config agent.toml --request request.cbor --in challenge.cbor --out activation.cbor
  E: endorser enrolment accept --config endorser.toml --in activation.cbor --out outcome.cbor
  A: attester-agent enrol --config agent.toml --request request.cbor --in outcome.cbor
"""


def add_to(parsers: "Parsers") -> None:
    """Adds the command and its two steps."""
    parser = parsers.add_parser(
        "enrolment",
        help="enrol devices without a network, by files",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION,
    )
    steps = parser.add_subparsers(dest="step", required=True)
    challenge = _add_step(steps, "challenge", "answer a request with a challenge")
    challenge.set_defaults(run=_challenge)
    accept = _add_step(steps, "accept", "answer an activation with the outcome")
    accept.set_defaults(run=_accept)


def _add_step(steps: "Parsers", name: str, help_text: str) -> argparse.ArgumentParser:
    step = add_parser(steps, name, help_text)
    step.add_argument("--in", type=Path, required=True, metavar="FILE", help="the file from the device")
    step.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to bring to the device")
    step.add_argument("--by", help="operator's name, for the record (default: your user name)")
    return step


def _challenge(arguments: argparse.Namespace) -> None:
    with registrar_of(arguments) as (registrar, _):
        ueid, answer = registrar.challenge(read_file(getattr(arguments, "in")), None, clock.utc_s())
        _write(ueid, answer, arguments.out, "challenge")


def _accept(arguments: argparse.Namespace) -> None:
    with registrar_of(arguments) as (registrar, _):
        payload, who = read_file(getattr(arguments, "in")), decided_by(arguments.by)
        ueid, answer = registrar.accept(payload, None, clock.utc_s(), who)
        _write(ueid, answer, arguments.out, "outcome")


def _write(ueid: Ueid, answer: bytes, out: Path, kind: str) -> None:
    write_durable(out, answer)
    print(f"{ueid_text(ueid)}: {out} holds the {kind}; bring it to the device: attester-agent enrol --in {out.name}")
