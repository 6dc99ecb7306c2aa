"""The command line of ``endorser reference-values SOURCE`` and ``endorser corim``."""

import argparse
from pathlib import Path
from typing import Final

from schemas.limits import MAX_REFERENCE_VALUES_BYTES

_PCRS: Final = "sha256:0-9"


def add_sources(command: argparse.ArgumentParser) -> None:
    """The sources; without one the command signs what its own options say."""
    sources = command.add_subparsers(dest="source", metavar="SOURCE")
    attester = _learning(sources, "from-attester", "learn from the evidence of a device that is as it should be")
    attester.add_argument("ueid", help="the device: base64url text, or a file that holds it")
    attester.add_argument("--evidence", type=Path, nargs="+", required=True, metavar="PATH", help=_EVIDENCE)
    attester.add_argument(
        "--endorsement", type=Path, required=True, help="its signed endorsement; may be as mosquitto_sub -N saves it"
    )
    _key_option(attester, required=True)
    logs = _learning(sources, "from-logs", "learn from log files, which nothing vouches for")
    logs.add_argument("--tcg2", type=Path, help="boot log (with neither: the kernel's own logs)")
    logs.add_argument("--ima", type=Path, help="IMA list, in any of the kernel's forms")
    for each in (attester, logs):
        each.add_argument("--pcrs", default=_PCRS, help="PCRs to take (default: %(default)s)")
    packages = _learning(sources, "from-packages", "measure the files of Debian packages")
    packages.add_argument("--root", type=Path, help="where they are installed (default: /)")
    packages.add_argument("--deb", type=Path, nargs="+", default=[], metavar="FILE", help="packages, not installed")
    merge = _learning(sources, "merge", "what is acceptable in one of several sets")
    merge.add_argument("sets", type=Path, nargs="+", metavar="SET", help="in the working form, or signed")
    _key_option(merge, required=False)
    diff = sources.add_parser("diff", help="what was added, removed, changed from one set to another")
    diff.add_argument("before", type=Path)
    diff.add_argument("after", type=Path)
    _key_option(diff, required=False)
    _sign(sources.add_parser("sign", help="sign sets in the working form"))


_EVIDENCE: Final = "captured evidence: messages, a verifier's audit log, or directories of these"


def add_corim(command: argparse.ArgumentParser) -> None:
    """``endorser corim show``."""
    show = command.add_subparsers(dest="action", required=True).add_parser("show", help="print a CoRIM")
    show.add_argument("files", type=Path, nargs="+", metavar="FILE")
    show.add_argument("--json", action="store_true", help="for programs")
    _key_option(show, required=False)


def _learning(
    sources: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    command = sources.add_parser(name, help=text)
    command.add_argument("--out", type=Path, help="write the working form here (default: print it)")
    return command


def _key_option(command: argparse.ArgumentParser, *, required: bool) -> None:
    command.add_argument(
        "--endorser-key",
        type=Path,
        action="append",
        default=None if required else [],
        required=required,
        help="public key that must have signed it",
    )


def _sign(command: argparse.ArgumentParser) -> None:
    command.add_argument("sets", type=Path, nargs="+", metavar="SET", help="in the working form")
    command.add_argument("--key", type=Path, required=True, help="the endorser's private key")
    command.add_argument("--name", required=True, help="name of the set, which policies refer to")
    command.add_argument("--signer", default="endorser", help="who signs (default: %(default)s)")
    command.add_argument("--version", default="auto", help="a number that grows; auto: the current second")
    command.add_argument("--days", type=int, default=365, help="validity (default: %(default)s)")
    command.add_argument(
        "--ima-key", type=Path, nargs="+", default=[], metavar="FILE", help="keys that sign files: PEM or DER, or X.509"
    )
    command.add_argument("--previous", type=Path, metavar="FILE", help="signed version that this one replaces")
    command.add_argument(
        "--overlap-days", type=float, default=14.0, help="so long its values stay acceptable (default: %(default)s)"
    )
    _key_option(command, required=False)
    command.add_argument(
        "--max-bytes",
        type=int,
        default=MAX_REFERENCE_VALUES_BYTES,
        help="split into sets NAME, NAME-2, … no larger than this, for brokers that take less (default: %(default)s)",
    )
    command.add_argument("--out", type=Path, required=True, help="the file to write")
