"""TPMT_PUBLIC: parsing, the checks of an attestation key, its name and its key."""

from attester_agent.core.key_templates import ak_template
from schemas.tpm.public import check_attestation_key, parse_public, parse_sized_public
from tests.fuzz.samples import PUBLIC

SEEDS = [PUBLIC, len(PUBLIC).to_bytes(2, "big") + PUBLIC, ak_template(rsa=True)]


def one(data: bytes) -> None:
    sized = data[:2] == len(data[2:]).to_bytes(2, "big")
    public = parse_sized_public(data) if sized else parse_public(data)
    assert public.name
    check_attestation_key(public)
    public.public_key()
