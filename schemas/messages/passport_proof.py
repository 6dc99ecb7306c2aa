"""Proof that the presenter of a result has the TPM of that result: a quote over the token and a challenge.

A result is a bearer token: anyone who copies it can present it. So the relying party sends a challenge, and the device
answers with a TPM2_Quote of no PCR whose ``extraData`` is ::

    SHA-256("attestream passport proof" || SHA-256(token) || challenge)

The result names the key: its submodule is the TPM name of the attesting key, which is a digest of the public area in
the proof. Because of the text in front, the quote cannot pass as evidence or as a sync proof: their ``extraData`` are
digests of CBOR maps and tags. The proof shows that the TPM is there now, not that it is still in the state of the
result.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from schemas.codecs import cbor
from schemas.codecs.fields import as_bytes, as_map
from schemas.errors import PeerError
from schemas.limits import MAX_ATTEST_BYTES, MAX_SIGNATURE_BYTES
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.tpm.attest import AttestType, parse_attest
from schemas.tpm.public import MAX_PUBLIC_BYTES, check_attestation_key, parse_public
from schemas.tpm.signature import parse_signature, verify_signature

MIN_CHALLENGE_BYTES: Final = 16
MAX_CHALLENGE_BYTES: Final = 64
MAX_PROOF_BYTES: Final = 8192
_CONTEXT: Final = b"attestream passport proof"
_ATTEST, _SIGNATURE, _PUBLIC = 1, 2, 3
_KEYS: Final = (_ATTEST, _SIGNATURE, _PUBLIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassportProof:
    """The answer to a challenge. It proves nothing until :func:`verify_proof` accepts it.

    Attributes:
        attest: TPMS_ATTEST of a quote.
        signature: TPMT_SIGNATURE over it.
        public: TPMT_PUBLIC of the attesting key.
    """

    attest: bytes
    signature: bytes
    public: bytes


def parse_challenge(text: str) -> bytes:
    """A challenge in hexadecimal; a good one is 32 random bytes, used once.

    Raises:
        PeerError: ``malformed`` unless it is 16 to 64 bytes.
    """
    try:
        challenge = bytes.fromhex(text)
    except ValueError as error:
        raise PeerError(Reason.MALFORMED, f"challenge: {error}") from error
    _check_challenge(challenge)
    return challenge


def qualifying_data(token: bytes, challenge: bytes) -> bytes:
    """The ``extraData`` that the TPM signs.

    Args:
        token: the result, exactly as it is presented.
        challenge: 16 to 64 bytes from the relying party.

    Raises:
        PeerError: ``malformed`` for a challenge of another size.
    """
    _check_challenge(challenge)
    return hashlib.sha256(_CONTEXT + hashlib.sha256(token).digest() + challenge).digest()


def encode_proof(proof: PassportProof) -> bytes:
    """The bytes of a proof."""
    return cbor.encode({_ATTEST: proof.attest, _SIGNATURE: proof.signature, _PUBLIC: proof.public})


def parse_proof(raw: bytes) -> PassportProof:
    """Parses a proof.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    decoded = cbor.decode(raw, "passport proof", max_bytes=MAX_PROOF_BYTES)
    items = as_map(decoded, "passport proof", required=_KEYS, optional=())
    return PassportProof(
        attest=as_bytes(items[_ATTEST], "passport proof attest", limit=MAX_ATTEST_BYTES),
        signature=as_bytes(items[_SIGNATURE], "passport proof signature", limit=MAX_SIGNATURE_BYTES),
        public=as_bytes(items[_PUBLIC], "passport proof public area", limit=MAX_PUBLIC_BYTES),
    )


def verify_proof(proof: PassportProof, token: bytes, challenge: bytes, result: AttestationResult) -> None:
    """Verifies that the attesting key of a result answered the challenge.

    1. the public area is an attestation key, and its TPM name is the name of the result's submodule;
    2. its signature over the structure is valid;
    3. the structure is a quote made by the TPM;
    4. its ``extraData`` binds this token and this challenge.

    Args:
        proof: from :func:`parse_proof`.
        token: the result's token, as it was presented.
        challenge: the bytes that the relying party chose for this proof.
        result: the verified content of the token.

    Raises:
        PeerError: ``result-proof-invalid``; ``malformed``, ``too-large``, ``attest-not-tpm-generated`` or
            ``attest-type-wrong`` for structures of another form; ``attesting-key-mismatch`` for a key that can also
            sign other data.
    """
    public = parse_public(proof.public)
    if not result.environment or public.name != result.environment:
        raise PeerError(Reason.RESULT_PROOF_INVALID, "passport proof: not by the key of the result")
    check_attestation_key(public)
    signature = parse_signature(proof.signature)
    verify_signature(public.public_key(), signature, proof.attest, Reason.RESULT_PROOF_INVALID)
    attest = parse_attest(proof.attest)
    if attest.type is not AttestType.QUOTE:
        raise PeerError(Reason.ATTEST_TYPE_WRONG, "passport proof: not a quote")
    if attest.extra_data != qualifying_data(token, challenge):
        raise PeerError(Reason.RESULT_PROOF_INVALID, "passport proof: for another result or another challenge")


def _check_challenge(challenge: bytes) -> None:
    if not MIN_CHALLENGE_BYTES <= len(challenge) <= MAX_CHALLENGE_BYTES:
        expected = f"expected {MIN_CHALLENGE_BYTES} to {MAX_CHALLENGE_BYTES}"
        raise PeerError(Reason.MALFORMED, f"challenge: {len(challenge)} bytes, {expected}")
