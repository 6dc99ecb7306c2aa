"""Provisioning: makes the attesting key and writes what an endorser needs to vouch for it."""

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attester_agent.ports import Identity
from runtime.durable import write_durable
from schemas.errors import ConfigError
from schemas.identifiers import ueid_text
from schemas.tpm.public import parse_public

UEID_FILE: Final = "attester.ueid"
PUBLIC_FILE: Final = "ak.tpmt_public"
PEM_FILE: Final = "ak.pem"


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
    """What to tell the operator after provisioning."""
    return (
        f"ueid {ueid_text(identity.ueid)}\n"
        f"key  {identity.environment.hex()}\n"
        f"Written to {folder}: {UEID_FILE}, {PUBLIC_FILE}, {PEM_FILE}.\n"
        "Next: bring these files to the endorser over a channel you trust and endorse them; until the endorsement is\n"
        "published, verifiers answer this device's evidence with attester-unendorsed. Then start: attester-agent run"
    )
