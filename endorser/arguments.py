"""The command line of ``endorser``."""

import argparse
from pathlib import Path

from endorser.commands.signing import AUTO
from endorser.enrolment_arguments import add_enrolment
from endorser.learning_arguments import add_corim, add_sources
from runtime.service import installed_version
from schemas.topics import DEFAULT_ROOT


def parser() -> argparse.ArgumentParser:
    """All sub-commands and their options."""
    top = argparse.ArgumentParser(prog="endorser", description="Sign and publish what verifiers need to know.")
    top.add_argument("--version", action="version", version=f"endorser {installed_version()}")
    commands = top.add_subparsers(dest="command", required=True)
    keygen = commands.add_parser("keygen", help="make the endorser's key")
    keygen.add_argument("--out", type=Path, required=True, help="private key file; the public key goes to OUT.pub")
    _endorse(commands.add_parser("endorse", help="sign who has an attesting key"))
    references = commands.add_parser("reference-values", help="sign what may be measured; learn, merge and compare it")
    _reference_values(references)
    add_sources(references)
    _policy(commands.add_parser("policy", help="sign an appraisal policy"))
    add_corim(commands.add_parser("corim", help="print any CoRIM for people, also another tool's"))
    add_enrolment(commands)
    publish = commands.add_parser("publish", help="put signed objects on their topics, retained")
    publish.add_argument("--mqtt-host", default="127.0.0.1", help="the broker (default: %(default)s)")
    publish.add_argument("--mqtt-port", type=int, default=1883, help="its port (default: %(default)s)")
    publish.add_argument("--root", default=DEFAULT_ROOT, help="first levels of all topics (default: %(default)s)")
    publish.add_argument("files", type=Path, nargs="+", metavar="FILE")
    show = commands.add_parser("show", help="print a signed object for people")
    show.add_argument("files", type=Path, nargs="+", metavar="FILE")
    for command in (publish, show):
        command.add_argument(
            "--endorser-key", type=Path, action="append", required=True, help="public key that must have signed it"
        )
    return top


def _endorse(command: argparse.ArgumentParser) -> None:
    _signing(command)
    command.add_argument("--name", default="endorser", help="who signs (default: %(default)s)")
    command.add_argument("--ueid", required=True, help="the attester: base64url text, or a file that holds it")
    command.add_argument("--ak-public", type=Path, required=True, help="its attesting key: TPMT_PUBLIC or TPM2B_PUBLIC")
    command.add_argument("--group", help="a name for attesters that belong together (default: none)")


def _policy(command: argparse.ArgumentParser) -> None:
    _signing(command)
    command.add_argument("--signer", default="endorser", help="who signs (default: %(default)s)")
    command.add_argument("policy", type=Path, metavar="FILE", help="TOML; check it first: verifier-worker check-policy")


def _reference_values(command: argparse.ArgumentParser) -> None:
    _signing(command, required=False)  # a source needs none of it
    command.add_argument("--signer", default="endorser", help="who signs (default: %(default)s)")
    command.add_argument("--name", help="name of the set, which policies refer to")
    command.add_argument("--pcrs", type=Path, help="acceptable PCR values: lines of bank, index, digest")
    command.add_argument("--banks", default="sha256", help="banks of --pcrs, joined by + (default: %(default)s)")
    command.add_argument("--indices", default="0-9", help="registers of --pcrs (default: %(default)s)")
    command.add_argument("--files", type=Path, nargs="*", default=[], metavar="PATH", help="files to measure now")
    command.add_argument(
        "--ima-key", type=Path, nargs="*", default=[], metavar="FILE", help="keys that sign files: PEM or DER, or X.509"
    )
    command.add_argument("--digests", type=Path, help="acceptable files, as sha256sum prints them")


def _signing(command: argparse.ArgumentParser, *, required: bool = True) -> None:
    command.add_argument("--key", type=Path, required=required, help="the endorser's private key")
    command.add_argument("--version", default=AUTO, help="a number that grows; auto: the current second")
    command.add_argument("--days", type=int, default=365, help="validity (default: %(default)s)")
    command.add_argument("--out", type=Path, required=required, help="the file to write")
