"""Requests of devices whose keys are not in any TPM: as true as bytes alone can be."""

import struct

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attester_agent.core.key_templates import ak_template, ek_template
from schemas.identifiers import Ueid, ueid_from_key
from schemas.messages.enrolment import EnrolmentRequest
from tests.builders.ek_authority import Authority, der

_EMPTY_POINT = bytes(4)  # of the template without a key; the EK's has 32 zero bytes for each coordinate
_ZERO_POINT_BYTES = 2 * (2 + 32)


def public_area(template: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """A P-256 template with a key in it."""
    numbers = key.public_numbers()
    point = b"".join(struct.pack(">H", 32) + each.to_bytes(32, "big") for each in (numbers.x, numbers.y))
    empty = template.endswith(b"\x00\x10" + _EMPTY_POINT)
    return template[: -len(_EMPTY_POINT) if empty else -_ZERO_POINT_BYTES] + point


def ueid_of(key: ec.EllipticCurvePublicKey) -> Ueid:
    """The UEID of the device with that endorsement key."""
    return ueid_from_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def request_of(authority: Authority, key: ec.EllipticCurvePublicKey) -> EnrolmentRequest:
    """A request with a certificate of ``authority`` and an attesting key of its own."""
    ak = ec.generate_private_key(ec.SECP256R1()).public_key()
    return EnrolmentRequest(
        ek_public=public_area(ek_template(rsa=False), key),
        ak_public=public_area(ak_template(rsa=False), ak),
        nonce=bytes(16),
        certificate=der(authority.certify(key)),
        name="device-1",
    )
