"""Initial attestation keys: their certificates, and what they certify."""

import struct
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ObjectIdentifier

from endorser.core.certificate_path import Vendors
from endorser.core.iak_certificate import verify_iak
from schemas.errors import PeerError
from schemas.messages.enrolment import IakProof
from schemas.reasons import Reason
from tests.builders.ek_authority import EK_PURPOSE, NOW_S, Authority, der, signing_usage

ROOT = Authority("oem")
KEY = ec.generate_private_key(ec.SECP256R1())
PURPOSE = ObjectIdentifier("2.23.133.8.3")
NAME, NONCE = b"\x00\x0b" + b"n" * 32, b"q" * 16
VENDORS = Vendors(roots=(), iak_roots=(("oem", ROOT.certificate),))


def certificate(
    authority: Authority = ROOT, purpose: ObjectIdentifier = PURPOSE, *, ca: bool = False
) -> x509.Certificate:
    return authority.certify(KEY.public_key(), purposes=(purpose,), usage=signing_usage(), ca=ca)


def attest(name: bytes = NAME, nonce: bytes = NONCE, kind: int = 0x8017) -> bytes:
    def sized(content: bytes) -> bytes:
        return struct.pack(">H", len(content)) + content

    return (
        struct.pack(">IH", 0xFF544347, kind) + sized(b"s" * 34) + sized(nonce) + bytes(25) + sized(name) + sized(name)
    )


def proof(made: bytes, key: ec.EllipticCurvePrivateKey = KEY, certified_by: x509.Certificate | None = None) -> IakProof:
    r, s = decode_dss_signature(key.sign(made, ec.ECDSA(SHA256())))
    signature = struct.pack(">HH", 0x0018, 0x000B)
    for each in (r, s):
        signature += struct.pack(">H", 32) + each.to_bytes(32, "big")
    return IakProof(certificate=der(certified_by or certificate()), attest=made, signature=signature)


def reason_of(given: IakProof, vendors: Vendors = VENDORS) -> Reason:
    with pytest.raises(PeerError) as caught:
        verify_iak(given, NAME, NONCE, (), vendors, NOW_S)
    return caught.value.reason


def test_an_iak_vouches_for_an_attesting_key() -> None:
    assert verify_iak(proof(attest()), NAME, NONCE, (), VENDORS, NOW_S).root == "oem"


def test_roots_of_endorsement_keys_do_not_vouch_for_iaks() -> None:
    only = Vendors(roots=(("oem", ROOT.certificate),))
    assert reason_of(proof(attest()), only) is Reason.IAK_CERTIFICATE_UNTRUSTED


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (certificate(Authority("oem")), Reason.IAK_CERTIFICATE_UNTRUSTED),
        (certificate(purpose=EK_PURPOSE), Reason.IAK_CERTIFICATE_UNFIT),
    ],
)
def test_certificates_that_are_refused(made: x509.Certificate, reason: Reason) -> None:
    assert reason_of(proof(attest(), certified_by=made)) is reason


def test_a_revoked_iak() -> None:
    made = certificate()
    vendors = replace(VENDORS, revocations=(ROOT.revocations(made),))
    assert reason_of(proof(attest(), certified_by=made), vendors) is Reason.IAK_CERTIFICATE_REVOKED


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (attest(name=b"\x00\x0b" + bytes(32)), Reason.IAK_CERTIFICATION_INVALID),
        (attest(nonce=bytes(16)), Reason.IAK_CERTIFICATION_INVALID),
        (attest(kind=0x8018), Reason.ATTEST_TYPE_WRONG),
        (bytes(4) + attest()[4:], Reason.ATTEST_NOT_TPM_GENERATED),
        (attest()[:-1], Reason.MALFORMED),
        (attest() + b"\0", Reason.MALFORMED),
    ],
)
def test_certifications_that_are_refused(made: bytes, reason: Reason) -> None:
    assert reason_of(proof(made)) is reason


def test_a_certification_by_another_key() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert reason_of(proof(attest(), key=other)) is Reason.IAK_CERTIFICATION_INVALID
