"""Proof that whoever shows a result has the TPM it is about: a quote over the token and the relying party's challenge.

A result is a bearer token: who copies it can show it. A restricted attesting key signs nothing but what its TPM made,
so the holder answers a challenge with TPM2_Quote of no PCR, ``extraData`` being ::

    SHA-256("attestream passport proof" || SHA-256(token) || challenge)

The result names the key: its submodule is the TPM name of the attesting key, a digest of the public area shown here.
The text in front keeps the quote from passing as evidence or as a sync proof, whose ``extraData`` are digests of CBOR
maps and tags, whatever the challenge. It proves that the TPM is there now, not that it is still in the state of the
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
    """The answer to a challenge; says nothing until :func:`verify_proof` accepts it.

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
    """What the TPM signs as ``extraData``.

    Args:
        token: the result, exactly as it is shown.
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

    1. the public area is the key whose TPM name the result's submodule bears, and is an attestation key;
    2. its signature over the structure is valid;
    3. the structure is a quote made by the TPM;
    4. its ``extraData`` binds this token and this challenge.

    Args:
        proof: from :func:`parse_proof`.
        token: the result's token, as it was shown.
        challenge: the bytes that the relying party chose for this occasion.
        result: what the token says, verified.

    Raises:
        PeerError: ``result-proof-invalid``; ``malformed``, ``too-large``, ``attest-not-tpm-generated`` or
            ``attest-type-wrong`` for structures of another form; ``attesting-key-mismatch`` for a key that signs
            other things, too.
    """
    public = parse_public(proof.public)
    if not result.environment or public.name != result.environment:
        raise PeerError(Reason.RESULT_PROOF_INVALID, "passport proof: by another key than that of the result")
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
