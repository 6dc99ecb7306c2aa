"""Endorsement keys: only what the TCG's templates L-1 and L-2 make, and certificates as they lie in NV."""

import itertools
import struct
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.errors import PeerError
from schemas.hashes import SHA256, SHA384
from schemas.reasons import Reason
from schemas.tpm.endorsement_key import (
    EK_ATTRIBUTES,
    NV_CERTIFICATE_P256,
    NV_CERTIFICATE_RSA,
    NV_CHAIN,
    check_endorsement_key,
    split_certificates,
)
from schemas.tpm.public import EccCurve, EccKey, KeyScheme, ObjectAttributes, RsaKey, TpmPublic, parse_public
from tests.builders.tpm_bytes import sized

POLICY_A = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
POINT = ec.derive_private_key(5, ec.SECP256R1()).public_key().public_numbers()
# TCG EK Credential Profile 2.5, B.3.3 and B.3.4, with nothing from this project: type, SHA-256, attributes, PolicyA,
# AES-128-CFB, no scheme.
HEAD = struct.pack(">HI", 0x000B, 0x000300B2) + sized(POLICY_A) + struct.pack(">HHHH", 0x0006, 128, 0x0043, 0x0010)
L1 = struct.pack(">H", 0x0001) + HEAD + struct.pack(">HI", 2048, 0) + sized((2**2047 + 1).to_bytes(256, "big"))
L2 = (
    struct.pack(">H", 0x0023)
    + HEAD
    + struct.pack(">HH", 0x0003, 0x0010)
    + sized(POINT.x.to_bytes(32, "big"))
    + sized(POINT.y.to_bytes(32, "big"))
)
RSA, ECC = parse_public(L1), parse_public(L2)


def refusal(public: TpmPublic) -> str:
    with pytest.raises(PeerError) as caught:
        check_endorsement_key(public)
    assert caught.value.reason is Reason.EK_TEMPLATE_MISMATCH
    return caught.value.detail


def test_keys_of_templates_l_1_and_l_2_are_endorsement_keys() -> None:
    check_endorsement_key(RSA)
    check_endorsement_key(ECC)


@pytest.mark.parametrize("public", [RSA, ECC], ids=["L-1", "L-2"])
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name_alg": SHA384}, "nameAlg"),
        ({"auth_policy": b""}, "policy"),
        ({"auth_policy": POLICY_A[:-1] + b"\0"}, "policy"),
        ({"symmetric_bits": None}, "AES-128"),
        ({"symmetric_bits": 256}, "AES-128"),
        ({"scheme": KeyScheme(tpm_id=0x0018, hash=SHA256)}, "scheme"),
        ({"key": RsaKey(bits=3072, exponent=65537, modulus=b"")}, "RSA 2048 or NIST P-256"),
        ({"key": RsaKey(bits=1024, exponent=65537, modulus=b"")}, "RSA 2048 or NIST P-256"),
        ({"key": EccKey(curve=EccCurve.NIST_P384, x=b"", y=b"")}, "RSA 2048 or NIST P-256"),
        ({"key": EccKey(curve=EccCurve.NIST_P521, x=b"", y=b"")}, "RSA 2048 or NIST P-256"),
    ],
    ids=str,
)
def test_a_key_that_differs_in_one_field_is_none(public: TpmPublic, changes: dict[str, object], named: str) -> None:
    """A key with the same modulus and a weaker public area is what an attacker would have certified."""
    assert named in refusal(replace(public, **changes))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("bit", list(ObjectAttributes), ids=lambda bit: bit.name)
def test_no_attribute_may_be_missing_and_none_be_added(bit: ObjectAttributes) -> None:
    assert "attributes" in refusal(replace(RSA, attributes=EK_ATTRIBUTES ^ bit))


def test_certificates_are_where_the_profile_puts_them() -> None:
    """TCG EK Credential Profile 2.5, 2.2.1.4."""
    assert (NV_CERTIFICATE_RSA, NV_CERTIFICATE_P256) == (0x01C00002, 0x01C0000A)
    assert (NV_CHAIN[0], NV_CHAIN[-1]) == (0x01C00100, 0x01C001FF)


# ── certificates in NV ───────────────────────────────────────────────────────────────────────────────────────────────


def certificate(size: int, fill: bytes = b"c") -> bytes:
    """A DER SEQUENCE of ``size`` bytes of content; what is in it does not matter."""
    return b"\x30\x82" + size.to_bytes(2, "big") + fill * size


def test_certificates_are_split_and_padding_is_left() -> None:
    chain = [certificate(size, fill) for size, fill in ((256, b"a"), (300, b"b"), (1, b"c"))]
    for count, padding in itertools.product(range(4), (b"", b"\0" * 9, b"\xff" * 9, b"\x30", b"\x30\x82\x01\x00")):
        assert split_certificates(b"".join(chain[:count]) + padding) == tuple(chain[:count])


@pytest.mark.parametrize("head", [b"\x31\x82", b"\x30\x81", b"\x30\x83", b"\x82\x30"])
def test_what_is_no_sequence_with_two_bytes_of_length_is_padding(head: bytes) -> None:
    assert split_certificates(head + b"\x00\x04abcd") == ()


def test_a_certificate_that_is_cut_short_comes_as_far_as_it_goes() -> None:
    """Every parser of it refuses it; nothing is made up."""
    assert split_certificates(certificate(300)[:100]) == (certificate(300)[:100],)
    assert split_certificates(certificate(300) + certificate(300)[:5]) == (certificate(300), certificate(300)[:5])
