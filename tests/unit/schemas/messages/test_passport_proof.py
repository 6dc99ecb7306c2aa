"""Proof of possession: only the TPM of a result can answer, and only for this result and this challenge."""

import hashlib
from dataclasses import replace

import pytest

from schemas.codecs import cbor
from schemas.errors import PeerError
from schemas.messages.passport_proof import (
    PassportProof,
    encode_proof,
    parse_challenge,
    parse_proof,
    qualifying_data,
    verify_proof,
)
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from tests.fakes.relying_party import result_about
from tests.worlds.device import FakeDevice, make_handle

TOKEN = b"token"
CHALLENGE = bytes(range(32))


@pytest.fixture(name="device")
def a_device() -> FakeDevice:
    return FakeDevice()


def answer(device: FakeDevice, token: bytes = TOKEN, challenge: bytes = CHALLENGE) -> PassportProof:
    attest, signature = device.quote(qualifying_data(token, challenge))
    return PassportProof(attest=attest, signature=signature, public=device.raw_public)


def about(device: FakeDevice) -> AttestationResult:
    return result_about(device.ueid, environment=device.public.name)


def refusal(proof: PassportProof, result: AttestationResult, challenge: bytes = CHALLENGE) -> Reason:
    with pytest.raises(PeerError) as refused:
        verify_proof(proof, TOKEN, challenge, result)
    return refused.value.reason


def test_the_device_of_the_result_can_answer(device: FakeDevice) -> None:
    verify_proof(parse_proof(encode_proof(answer(device))), TOKEN, CHALLENGE, about(device))


def test_a_thief_with_another_tpm_cannot(device: FakeDevice) -> None:
    thief = FakeDevice(label=b"thief")
    assert refusal(answer(thief), about(device)) == Reason.RESULT_PROOF_INVALID
    dressed_up = replace(answer(thief), public=device.raw_public)
    assert refusal(dressed_up, about(device)) == Reason.RESULT_PROOF_INVALID


def test_an_answer_works_once(device: FakeDevice) -> None:
    assert refusal(answer(device), about(device), challenge=bytes(32)) == Reason.RESULT_PROOF_INVALID


def test_an_answer_is_for_one_result(device: FakeDevice) -> None:
    assert refusal(answer(device, token=b"older"), about(device)) == Reason.RESULT_PROOF_INVALID


def test_a_result_without_a_key_has_no_proof(device: FakeDevice) -> None:
    assert refusal(answer(device), replace(about(device), environment=b"")) == Reason.RESULT_PROOF_INVALID


def test_a_key_that_signs_anything_is_refused(device: FakeDevice) -> None:
    loose = FakeDevice(key=device.key)
    loose.raw_public = device.raw_public[:4] + bytes.fromhex("00040072") + device.raw_public[8:]
    assert refusal(answer(loose), about(loose)) == Reason.ATTESTING_KEY_MISMATCH


def test_evidence_and_sync_proofs_are_not_answers(device: FakeDevice) -> None:
    device.sync(make_handle())
    assert device.proof is not None
    evidence = device.push()
    for attest, signature, reason in (
        (evidence.quote, evidence.signature, Reason.RESULT_PROOF_INVALID),
        (device.proof.attest, device.proof.signature, Reason.ATTEST_TYPE_WRONG),
    ):
        proof = PassportProof(attest=attest, signature=signature, public=device.raw_public)
        assert refusal(proof, about(device)) == reason


def test_the_signed_bytes_are_not_a_digest_of_cbor() -> None:
    preimage = b"attestream passport proof" + hashlib.sha256(TOKEN).digest() + CHALLENGE
    assert qualifying_data(TOKEN, CHALLENGE) == hashlib.sha256(preimage).digest()
    assert preimage[0] >> 5 == 3  # a text string to a CBOR reader: neither the map of a body nor the tag of a handle


@pytest.mark.parametrize("text", ["", "00" * 15, "00" * 65, "xyz", "0" * 33])
def test_a_challenge_is_16_to_64_bytes(text: str) -> None:
    with pytest.raises(PeerError):
        parse_challenge(text)


@pytest.mark.parametrize("size", [16, 64])
def test_challenges_at_the_limits_are_accepted(size: int) -> None:
    assert len(parse_challenge("ab" * size)) == size


@pytest.mark.parametrize("raw", [b"", b"\xa0", b"\xa3\x01\x40\x02\x40\x03\x01", bytes(10_000)])
def test_bytes_of_another_form_are_refused(raw: bytes) -> None:
    with pytest.raises(PeerError):
        parse_proof(raw)


# ── the bytes, and each limit ────────────────────────────────────────────────────────────────────────────────────────

ITEMS: dict[int, object] = {1: b"attest", 2: b"signature", 3: b"public"}


def parse_refusal(raw: bytes) -> Reason:
    with pytest.raises(PeerError) as refused:
        parse_proof(raw)
    return refused.value.reason


def test_each_member_has_its_key() -> None:
    proof = PassportProof(attest=b"attest", signature=b"signature", public=b"public")
    assert encode_proof(proof) == cbor.encode(ITEMS)
    assert parse_proof(cbor.encode(ITEMS)) == proof


@pytest.mark.parametrize(("key", "limit"), [(1, 2048), (2, 1088), (3, 1280)])
def test_each_member_is_limited_and_required(key: int, limit: int) -> None:
    parse_proof(cbor.encode({**ITEMS, key: bytes(limit)}))
    assert parse_refusal(cbor.encode({**ITEMS, key: bytes(limit + 1)})) is Reason.TOO_LARGE
    assert parse_refusal(cbor.encode({**ITEMS, key: "text"})) is Reason.MALFORMED
    assert parse_refusal(cbor.encode({each: ITEMS[each] for each in ITEMS if each != key})) is Reason.MALFORMED
    assert parse_refusal(cbor.encode({**ITEMS, 4: 0})) is Reason.MALFORMED


def test_a_proof_is_limited_in_bytes() -> None:
    assert parse_refusal(b"\xff" * 8192) is Reason.MALFORMED
    assert parse_refusal(b"\xff" * 8193) is Reason.TOO_LARGE


@pytest.mark.parametrize("size", [0, 15, 65])
def test_no_challenge_of_another_size_is_signed(size: int) -> None:
    with pytest.raises(PeerError, match=f"{size} bytes, expected 16 to 64") as caught:
        qualifying_data(TOKEN, bytes(size))
    assert caught.value.reason is Reason.MALFORMED
    with pytest.raises(PeerError) as caught:
        parse_challenge("00" * size)
    assert caught.value.reason is Reason.MALFORMED


def test_a_challenge_that_is_no_hexadecimal_is_malformed() -> None:
    with pytest.raises(PeerError, match="challenge") as caught:
        parse_challenge("xyz")
    assert caught.value.reason is Reason.MALFORMED


def test_a_proof_whose_signature_does_not_verify_is_refused(device: FakeDevice) -> None:
    good = answer(device)
    other = answer(device, challenge=bytes(32))
    for changed in (replace(good, attest=good.attest[:-1] + b"x"), replace(good, signature=other.signature)):
        assert refusal(changed, about(device)) is Reason.RESULT_PROOF_INVALID
