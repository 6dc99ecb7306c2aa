"""The part of ``endorser``'s command line that is about enrolment."""

import argparse
from pathlib import Path

_SERVE = """Answer devices that ask to be enrolled, over the broker, and publish their endorsements.

A device sends its endorsement key with the manufacturer's certificate and its attesting key; it is sent a secret that
only that TPM can open, and only while it holds that attesting key. If it can, a rule in the configuration, or an
operator, decides: see `endorser pending` and `endorser approve`.
"""
_CONFIG = """The configuration file:

  signing_key = "endorser.key"            # endorser keygen
  registry = "state/registry.db"          # who is enrolled; back it up
  group = "plant-7"                       # optional
  [vendors.roots]
  example = "example-tpm-root.pem"        # of the TPMs' manufacturer
  [vendors]
  intermediates = ["example-tpm-ca.pem"]
  revocations = ["example-tpm-ca.crl"]
  [approve]                               # leave it out: an operator approves of each device
  roots = ["example"]                     # any TPM of this manufacturer
  certificates = ["4f2a"]                 # or these serial numbers
  [mqtt]
  host = "broker.example"
"""


def add_enrolment(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the commands."""
    serve = _command(commands, "serve", "enrol devices over the broker until stopped", _SERVE)
    serve.add_argument("--check-config", action="store_true", help="read settings, key and certificates, then stop")
    _command(commands, "pending", "list devices that have proven their key and wait for an operator")
    _command(commands, "devices", "list every device, its standing, the version of its endorsement, name and group")
    _command(commands, "record", "print who decided what about which device, and when; nothing is ever removed")
    approve = _command(commands, "approve", "admit a device that waits, and endorse its key")
    _decision(approve, "also write the endorsement here, for `endorser publish`")
    approve.add_argument("--request", metavar="HEX", help="only the request that `endorser pending` showed you")
    for name, help_text in (
        ("reject", "refuse a device, for good unless readmitted"),
        ("revoke", "withdraw a device's endorsement: its key is not to be believed any more"),
        ("decommission", "withdraw a device's endorsement: it is out of service"),
        ("readmit", "let a rejected, revoked or decommissioned device enrol again"),
    ):
        command = _command(commands, name, help_text)
        _decision(command, "also write the version that ends the endorsement here")
        command.add_argument("--why", default="", help="for the record")
    _by_file(commands)


def _by_file(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    files = commands.add_parser(
        "enrolment",
        help="the same by files, for devices without a network",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""Enrol a device by carrying four files; A is the device, E this machine:

  A: attester-agent enrol --config agent.toml --out request.cbor
  E: endorser enrolment challenge --config endorser.toml --in request.cbor --out challenge.cbor
  A: attester-agent enrol --config agent.toml --request request.cbor --in challenge.cbor --out activation.cbor
  E: endorser enrolment accept --config endorser.toml --in activation.cbor --out outcome.cbor
  A: attester-agent enrol --config agent.toml --request request.cbor --in outcome.cbor
""",
    )
    steps = files.add_subparsers(dest="step", required=True)
    for name, help_text in (
        ("challenge", "answer a request with a challenge"),
        ("accept", "answer an activation with the outcome"),
    ):
        step = _command(steps, name, help_text)
        step.add_argument("--in", type=Path, required=True, metavar="FILE", help="what came from the device")
        step.add_argument("--out", type=Path, required=True, metavar="FILE", help="what to bring to the device")
        step.add_argument("--by", help="who, for the record (default: you)")


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, help_text: str, description: str = ""
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=help_text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=description or help_text,
        epilog=_CONFIG,
    )
    command.add_argument("--config", type=Path, required=True, help="TOML file; see below")
    return command


def _decision(command: argparse.ArgumentParser, out_help: str) -> None:
    command.add_argument("ueid", metavar="UEID", help="base64url text, as `endorser pending` prints it")
    command.add_argument("--by", help="who decides, for the record (default: you)")
    command.add_argument("--out", type=Path, metavar="FILE", help=out_help)
