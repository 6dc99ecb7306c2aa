"""Endorsements of one attesting key of one attester."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.identifiers import Ueid, ueid_text
from schemas.messages import corim
from schemas.messages.endorsement import Endorsement, identity_of, sign_endorsement, verify_endorsement
from schemas.reasons import Reason
from schemas.tpm.public import parse_public
from tests.builders.tpm_bytes import REAL_NAME, REAL_PUBLIC

KEY = derive_private_key(31, SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
ENDORSEMENT = Endorsement(
    ueid=Ueid(b"\x01" + bytes(range(32))),
    attesting_key=parse_public(REAL_PUBLIC),
    version=5,
    signer="tests",
    not_before_s=1,
    not_after_s=2_000_000_000,
)


def signed(endorsement: Endorsement = ENDORSEMENT, raw_public: bytes = REAL_PUBLIC) -> bytes:
    return sign_endorsement(endorsement, raw_public, KEY)


def refusal(raw: bytes) -> Reason:
    with pytest.raises(PeerError) as refused:
        verify_endorsement(raw, KEYS)
    return refused.value.reason


def with_triples(change: dict[object, object], identity: str | None = None) -> bytes:
    manifest = corim.verify_manifest(signed(), KEYS)
    return corim.sign_manifest(replace(manifest, triples=change, identity=identity or manifest.identity), KEY)


def test_the_signed_content_comes_back() -> None:
    verified = verify_endorsement(signed(), KEYS)
    assert verified == ENDORSEMENT
    assert verified.attesting_key.name == REAL_NAME


def test_a_strangers_endorsement_is_refused() -> None:
    raw = sign_endorsement(ENDORSEMENT, REAL_PUBLIC, derive_private_key(32, SECP256R1()))
    assert refusal(raw) == Reason.OBJECT_SIGNATURE_INVALID


def test_a_key_that_can_sign_anything_is_not_an_attesting_key() -> None:
    unrestricted = bytearray(REAL_PUBLIC)
    unrestricted[5] &= ~0x01 & 0xFF  # TPMA_OBJECT.restricted, bit 16 of objectAttributes
    endorsement = replace(ENDORSEMENT, attesting_key=parse_public(bytes(unrestricted)))
    assert refusal(signed(endorsement, bytes(unrestricted))) == Reason.ATTESTING_KEY_MISMATCH


def with_keys(*keys: object) -> bytes:
    return with_triples({3: [[{1: cbor.Tag(550, ENDORSEMENT.ueid)}, list(keys)]]})


PEM = parse_public(REAL_PUBLIC).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
OTHER_PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_the_key_is_in_two_forms_under_the_tags_of_corim() -> None:
    assert verify_endorsement(with_keys(cbor.Tag(554, PEM), cbor.Tag(560, REAL_PUBLIC)), KEYS) == ENDORSEMENT


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ([cbor.Tag(554, OTHER_PEM), cbor.Tag(560, REAL_PUBLIC)], Reason.MALFORMED),
        ([cbor.Tag(554, PEM + "\n"), cbor.Tag(560, REAL_PUBLIC)], Reason.MALFORMED),
        ([cbor.Tag(554, PEM.encode()), cbor.Tag(560, REAL_PUBLIC)], Reason.MALFORMED),
        ([PEM, cbor.Tag(560, REAL_PUBLIC)], Reason.MALFORMED),
        ([cbor.Tag(554, PEM), REAL_PUBLIC], Reason.MALFORMED),
        ([cbor.Tag(554, PEM), cbor.Tag(560, "text")], Reason.MALFORMED),
        ([cbor.Tag(554, PEM), cbor.Tag(560, bytes(1281))], Reason.TOO_LARGE),
        ([cbor.Tag(560, REAL_PUBLIC), cbor.Tag(554, PEM)], Reason.MALFORMED),
        ([cbor.Tag(554, PEM)], Reason.MALFORMED),
        ([cbor.Tag(554, PEM), cbor.Tag(560, REAL_PUBLIC), cbor.Tag(560, REAL_PUBLIC)], Reason.MALFORMED),
    ],
)
def test_both_forms_are_of_one_key(keys: list[object], reason: Reason) -> None:
    assert refusal(with_keys(*keys)) is reason


def test_an_endorsement_is_valid_from_its_first_to_its_last_second() -> None:
    assert [ENDORSEMENT.is_valid(at_s) for at_s in (0, 1, 2_000_000_000, 2_000_000_001)] == [False, True, True, False]


def test_the_identity_holds_the_text_of_the_ueid() -> None:
    assert identity_of(ENDORSEMENT.ueid) == f"attestream.endorsement.{ueid_text(ENDORSEMENT.ueid)}"


def test_the_manifest_must_name_the_ueid() -> None:
    manifest = corim.verify_manifest(signed(), KEYS)
    assert refusal(with_triples(dict(manifest.triples), identity_of(Ueid(b"\x01" + bytes(32))))) == Reason.MALFORMED


def test_reference_values_are_not_an_endorsement() -> None:
    assert refusal(with_triples({corim.TRIPLES_REFERENCE: [[{0: {2: "x"}}, []]]})) == Reason.MALFORMED


@pytest.mark.parametrize("size", [0, 6, 34])
def test_a_ueid_of_a_wrong_length_is_refused(size: int) -> None:
    assert refusal(signed(replace(ENDORSEMENT, ueid=Ueid(bytes(size))))) == Reason.MALFORMED
