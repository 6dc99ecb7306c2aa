"""``attester-agent provision``: makes the attesting key and writes the files that an endorser needs to endorse it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attester_agent.commands.options import add_config, settings_of
from attester_agent.ports import Identity
from attester_agent.tpm.device import TpmDevice
from runtime.durable import write_durable
from runtime.service import Stop
from schemas.errors import ConfigError
from schemas.identifiers import ueid_text
from schemas.tpm.public import parse_public

if TYPE_CHECKING:
    from runtime.command_line import Parsers

UEID_FILE: Final = "attester.ueid"
PUBLIC_FILE: Final = "ak.tpmt_public"
PEM_FILE: Final = "ak.pem"


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("provision", help="make the attesting key and write the files that the endorser needs")
    add_config(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for attester.ueid, ak.tpmt_public and ak.pem")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Makes the key if there is none, and writes the files."""
    stop = Stop().on_signals()
    identity = TpmDevice(settings_of(arguments).tpm, pause=stop.wait).identity()
    write_identity(identity, arguments.out)
    print(next_steps(identity, arguments.out))


def write_identity(identity: Identity, folder: Path) -> None:
    """Writes ``attester.ueid`` (text), ``ak.tpmt_public`` (TPMT_PUBLIC) and ``ak.pem`` into ``folder``.

    The folder is made if it is missing.

    Raises:
        ConfigError: the folder cannot be made.
        WorldError: ``store-unavailable``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {folder}: {error.strerror}") from error
    pem = parse_public(identity.public).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_durable(folder / UEID_FILE, ueid_text(identity.ueid).encode() + b"\n")
    write_durable(folder / PUBLIC_FILE, identity.public)
    write_durable(folder / PEM_FILE, pem)


def next_steps(identity: Identity, folder: Path) -> str:
    """The text for the operator: what was written, and what to do next."""
    return (
        f"ueid {ueid_text(identity.ueid)}\n"
        f"key  {identity.environment.hex()}\n"
        f"Written to {folder}: {UEID_FILE}, {PUBLIC_FILE}, {PEM_FILE}.\n"
        "Next: bring these files to the endorser over a channel you trust and endorse them. Until the endorsement is\n"
        "published, verifiers answer this device's evidence with attester-unendorsed. Then start: attester-agent run"
    )
