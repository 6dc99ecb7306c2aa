"""The four messages of an enrolment: the bytes of each member, every limit, and what the proof binds."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.enrolment import (
    Activation,
    Challenge,
    ChallengeDigest,
    EnrolmentRequest,
    IakProof,
    Outcome,
    RequestDigest,
    challenge_digest,
    encode_activation,
    encode_request,
    parse_activation,
    parse_request,
    proof_of,
    request_digest,
    sign_challenge,
    sign_outcome,
    verify_challenge,
    verify_outcome,
)
from schemas.reasons import Reason

KEY = derive_private_key(61, SECP256R1())
STRANGER = derive_private_key(62, SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
UEID = Ueid(b"\x01" + bytes(32))
DIGEST = RequestDigest(b"r" * 32)
CHALLENGE_TYPE = "application/vnd.attestream.enrolment-challenge+cose"
OUTCOME_TYPE = "application/vnd.attestream.enrolment-outcome+cose"

REQUEST = EnrolmentRequest(
    ek_public=b"ek",
    ak_public=b"ak",
    nonce=b"n" * 16,
    certificate=b"certificate",
    chain=(b"issuer", b"root"),
    name="device-7",
    iak=IakProof(certificate=b"iak", attest=b"attest", signature=b"signature"),
)
REQUEST_ITEMS: dict[object, object] = {
    1: b"ek",
    2: b"ak",
    3: b"n" * 16,
    4: b"certificate",
    5: [b"issuer", b"root"],
    6: "device-7",
    7: [b"iak", b"attest", b"signature"],
}
CHALLENGE = Challenge(ueid=UEID, request=DIGEST, credential=b"c", encrypted_secret=b"s", expires_s=5)
CHALLENGE_ITEMS: dict[object, object] = {1: UEID, 2: DIGEST, 3: b"c", 4: b"s", 5: 5}
ACTIVATION = Activation(request=DIGEST, challenge=ChallengeDigest(b"c" * 32), proof=b"p" * 32)
ACTIVATION_ITEMS: dict[object, object] = {1: DIGEST, 2: b"c" * 32, 3: b"p" * 32}
OUTCOME = Outcome(ueid=UEID, request=DIGEST, endorsement=b"endorsement", reason="name-taken", detail="why")
OUTCOME_ITEMS: dict[object, object] = {1: UEID, 2: DIGEST, 3: "name-taken", 4: "why", 5: b"endorsement"}


def signed(items: object, media_type: str) -> bytes:
    return cose.encode(cose.sign(cbor.encode(items), KEY, {16: media_type}))


def read_request(items: object) -> object:
    return parse_request(cbor.encode(items))


def challenge_of(raw: bytes) -> Challenge:
    return verify_challenge(raw, KEYS)


def outcome_of(raw: bytes) -> Outcome:
    return verify_outcome(raw, KEYS)


def read_challenge(items: object) -> object:
    return challenge_of(signed(items, CHALLENGE_TYPE))


def read_activation(items: object) -> object:
    return parse_activation(cbor.encode(items))


def read_outcome(items: object) -> object:
    return outcome_of(signed(items, OUTCOME_TYPE))


def refusal(read: Callable[[Any], object], given: object) -> Reason:
    with pytest.raises(PeerError) as caught:
        read(given)
    return caught.value.reason


MESSAGES = [
    (read_request, REQUEST_ITEMS, {1, 2, 3}),
    (read_challenge, CHALLENGE_ITEMS, {1, 2, 3, 4, 5}),
    (read_activation, ACTIVATION_ITEMS, {1, 2, 3}),
    (read_outcome, OUTCOME_ITEMS, {1, 2, 3, 4}),
]


def test_each_member_has_its_key() -> None:
    assert encode_request(REQUEST) == cbor.encode(REQUEST_ITEMS)
    assert read_request(REQUEST_ITEMS) == REQUEST
    assert sign_challenge(CHALLENGE, KEY)[:-64] == signed(CHALLENGE_ITEMS, CHALLENGE_TYPE)[:-64]
    assert read_challenge(CHALLENGE_ITEMS) == CHALLENGE
    assert encode_activation(ACTIVATION) == cbor.encode(ACTIVATION_ITEMS)
    assert read_activation(ACTIVATION_ITEMS) == ACTIVATION
    assert sign_outcome(OUTCOME, KEY)[:-64] == signed(OUTCOME_ITEMS, OUTCOME_TYPE)[:-64]
    assert read_outcome(OUTCOME_ITEMS) == OUTCOME


def test_what_is_optional_may_be_left_out() -> None:
    bare = EnrolmentRequest(ek_public=b"ek", ak_public=b"ak", nonce=b"n" * 16)
    assert (bare.certificate, bare.chain, bare.name, bare.iak) == (None, (), None, None)
    items = {key: REQUEST_ITEMS[key] for key in (1, 2, 3)}
    assert encode_request(bare) == cbor.encode(items)
    assert read_request(items) == bare
    pending = replace(OUTCOME, endorsement=None)
    items = {key: OUTCOME_ITEMS[key] for key in (1, 2, 3, 4)}
    assert sign_outcome(pending, KEY)[:-64] == signed(items, OUTCOME_TYPE)[:-64]
    assert read_outcome(items) == pending
    plain = Outcome(ueid=UEID, request=DIGEST, endorsement=b"")
    assert (plain.reason, plain.detail) == ("", "")


@pytest.mark.parametrize(("read", "items", "required"), MESSAGES)
def test_required_members_are_required_and_no_others_exist(
    read: Callable[[object], object], items: dict[object, object], required: set[object]
) -> None:
    for key in items:
        rest = {each: value for each, value in items.items() if each != key}
        if key in required:
            assert refusal(read, rest) is Reason.MALFORMED
        else:
            read(rest)
    for key in (0, 8):
        assert refusal(read, {**items, key: 0}) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("read", "items", "key", "at_limit", "beyond", "reason"),
    [
        (read_request, REQUEST_ITEMS, 1, bytes(1280), bytes(1281), Reason.TOO_LARGE),
        (read_request, REQUEST_ITEMS, 2, bytes(1280), bytes(1281), Reason.TOO_LARGE),
        (read_request, REQUEST_ITEMS, 3, bytes(16), bytes(15), Reason.MALFORMED),
        (read_request, REQUEST_ITEMS, 3, bytes(16), bytes(17), Reason.MALFORMED),
        (read_request, REQUEST_ITEMS, 4, bytes(4096), bytes(4097), Reason.TOO_LARGE),
        (read_request, REQUEST_ITEMS, 5, [b"c"] * 5, [b"c"] * 6, Reason.TOO_LARGE),
        (read_request, REQUEST_ITEMS, 5, [bytes(4096)], [bytes(4097)], Reason.TOO_LARGE),
        (read_request, REQUEST_ITEMS, 6, "n" * 64, "n" * 65, Reason.TOO_LARGE),
        (read_request, REQUEST_ITEMS, 6, "n", "a/b", Reason.MALFORMED),
        (read_request, REQUEST_ITEMS, 6, "n", "", Reason.MALFORMED),
        (read_request, REQUEST_ITEMS, 7, [bytes(4096), b"", b""], [bytes(4097), b"", b""], Reason.TOO_LARGE),
        (read_request, REQUEST_ITEMS, 7, [b"", bytes(2048), b""], [b"", bytes(2049), b""], Reason.TOO_LARGE),
        (read_request, REQUEST_ITEMS, 7, [b"", b"", bytes(1088)], [b"", b"", bytes(1089)], Reason.TOO_LARGE),
        (read_request, REQUEST_ITEMS, 7, [b"", b"", b""], [b"", b""], Reason.MALFORMED),
        (read_request, REQUEST_ITEMS, 7, [b"", b"", b""], [b"", b"", b"", b""], Reason.MALFORMED),
        (read_challenge, CHALLENGE_ITEMS, 1, bytes(33), bytes(34), Reason.MALFORMED),
        (read_challenge, CHALLENGE_ITEMS, 2, bytes(32), bytes(31), Reason.MALFORMED),
        (read_challenge, CHALLENGE_ITEMS, 2, bytes(32), bytes(33), Reason.MALFORMED),
        (read_challenge, CHALLENGE_ITEMS, 3, bytes(132), bytes(133), Reason.TOO_LARGE),
        (read_challenge, CHALLENGE_ITEMS, 4, bytes(512), bytes(513), Reason.TOO_LARGE),
        (read_challenge, CHALLENGE_ITEMS, 5, 0, -1, Reason.MALFORMED),
        (read_activation, ACTIVATION_ITEMS, 1, bytes(32), bytes(31), Reason.MALFORMED),
        (read_activation, ACTIVATION_ITEMS, 2, bytes(32), bytes(33), Reason.MALFORMED),
        (read_activation, ACTIVATION_ITEMS, 3, bytes(32), bytes(31), Reason.MALFORMED),
        (read_activation, ACTIVATION_ITEMS, 3, bytes(32), bytes(33), Reason.MALFORMED),
        (read_outcome, OUTCOME_ITEMS, 1, bytes(7), bytes(6), Reason.MALFORMED),
        (read_outcome, OUTCOME_ITEMS, 2, bytes(32), bytes(31), Reason.MALFORMED),
        (read_outcome, OUTCOME_ITEMS, 3, "r" * 64, "r" * 65, Reason.TOO_LARGE),
        (read_outcome, OUTCOME_ITEMS, 4, "d" * 256, "d" * 257, Reason.TOO_LARGE),
        (read_outcome, OUTCOME_ITEMS, 5, bytes(8192), bytes(8193), Reason.TOO_LARGE),
        (read_outcome, OUTCOME_ITEMS, 5, b"", None, Reason.MALFORMED),
    ],
)
def test_each_member_is_limited(
    read: Callable[[object], object],
    items: dict[object, object],
    key: int,
    at_limit: object,
    beyond: object,
    reason: Reason,
) -> None:
    read({**items, key: at_limit})
    assert refusal(read, {**items, key: beyond}) is reason
    assert refusal(read, {**items, key: 1.5}) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("read", "limit"),
    [
        (parse_request, 32 * 1024),
        (challenge_of, 4096),
        (parse_activation, 512),
        (outcome_of, 16 * 1024),
    ],
)
def test_a_message_is_limited_in_bytes(read: Callable[[bytes], object], limit: int) -> None:
    assert refusal(read, b"\xff" * limit) is Reason.MALFORMED
    assert refusal(read, b"\xff" * (limit + 1)) is Reason.TOO_LARGE


def test_only_the_endorser_signs_and_each_type_is_its_own() -> None:
    for raw in (sign_challenge(CHALLENGE, STRANGER), signed(CHALLENGE_ITEMS, OUTCOME_TYPE)):
        assert refusal(challenge_of, raw) is Reason.OBJECT_SIGNATURE_INVALID
    for raw in (sign_outcome(OUTCOME, STRANGER), signed(OUTCOME_ITEMS, CHALLENGE_TYPE)):
        assert refusal(outcome_of, raw) is Reason.OBJECT_SIGNATURE_INVALID


def test_a_long_detail_is_cut_when_it_is_signed() -> None:
    assert verify_outcome(sign_outcome(replace(OUTCOME, detail="d" * 300), KEY), KEYS).detail == "d" * 256


def test_the_proof_binds_secret_request_and_challenge() -> None:
    request, challenge = request_digest(b"request"), challenge_digest(b"challenge")
    assert (request, challenge) == (hashlib.sha256(b"request").digest(), hashlib.sha256(b"challenge").digest())
    message = b"attestream enrolment activation v1\x00" + request + challenge
    assert proof_of(b"secret", request, challenge) == hmac.digest(b"secret", message, "sha256")
