"""``relying-party audit check``: checks a proof, given only the TSA's root and the audit log's key."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relying_party.audit.proof_check import ProofTrust, check_proof
from relying_party.audit.proof_text import answer_json, answer_lines
from relying_party.audit.proof_verdict import Verdict
from runtime.audit_log.signer import load_note_key
from runtime.durable import read_if_exists
from runtime.keys import load_public_keys
from runtime.settings import naming
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.audit.proof import MAX_PROOF_BYTES, parse_proof
from schemas.codecs.printable import printable
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.tlog.signed_note import COSIGNATURE_V1, ED25519, NoteKey

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser(
        "check",
        help="check what a proof proves, without its audit log and without a verifier",
        description="Exit status: 0 proven, and the answer is yes; 1 not proven, or the answer is no, or the proof is "
        "invalid; 2 a wrong option or file.",
    )
    files: dict[str, Any] = {"type": Path, "action": "append", "default": []}
    command.add_argument("proof", type=Path, metavar="FILE", help="of relying-party audit prove")
    command.add_argument(
        "--log-key", required=True, metavar="VKEY", help="the audit log's verifier key, or a file with it"
    )
    command.add_argument(
        "--tsa-root", **files, metavar="PEM", help="root certificate of a Time Stamp Authority; more than one is fine"
    )
    command.add_argument(
        "--tsa-intermediate", **files, metavar="PEM", help="certificate below it, if tokens do not contain it"
    )
    command.add_argument("--witness", action="append", default=[], metavar="VKEY", help="a trusted witness")
    for role in ("endorser", "distributor", "verifier"):
        command.add_argument(
            f"--{role}-key",
            **files,
            metavar="PEM",
            help=f"{role}'s public key; without it, the audit log's own statement is used",
        )
    command.add_argument("--json", action="store_true", help="as JSON")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Checks a proof; returns 0 when it proves that the answer is yes.

    Raises:
        ConfigError: names the option and the file.
    """
    trust = _trust(options)
    try:
        raw = read_if_exists(options.proof, max_bytes=MAX_PROOF_BYTES)
    except WorldError as error:
        raise ConfigError(error.detail) from error
    if raw is None:
        raise ConfigError(f"{options.proof}: no such file")
    try:
        answer = check_proof(parse_proof(raw), trust)
    except PeerError as error:
        if options.json:
            print(json.dumps({"answer": "invalid", "reason": error.reason, "detail": error.detail}))
        print(printable(f"DOES NOT HOLD: {error.detail} ({error.reason})"), file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(answer_json(answer, trust)))
    else:
        print("\n".join(answer_lines(answer, trust)))
    return int(answer.verdict is not Verdict.YES)


def _trust(options: argparse.Namespace) -> ProofTrust:
    if not options.tsa_root:
        raise ConfigError("--tsa-root: missing; without it no time can be verified")
    with naming("--tsa-root"):
        stamps = load_time_stamp_verifier(options.tsa_root, options.tsa_intermediate)
    keys = {}
    for role in ("endorser", "distributor", "verifier"):
        with naming(f"--{role}-key"):
            keys[role] = load_public_keys(getattr(options, f"{role}_key")) or None
    return ProofTrust(
        log_key=_note_key("--log-key", options.log_key, ED25519),
        stamps=stamps,
        witnesses=tuple(_note_key("--witness", each, COSIGNATURE_V1) for each in options.witness),
        endorsers=keys["endorser"],
        distributors=keys["distributor"],
        verifiers=keys["verifier"],
    )


def _note_key(option: str, text: str, kind: int) -> NoteKey:
    with naming(option):
        return load_note_key(text, kind)
