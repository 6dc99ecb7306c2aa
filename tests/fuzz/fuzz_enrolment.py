"""Enrolment: requests and activations of strangers, challenges and outcomes as an endorser may have signed them."""

from dataclasses import replace

from endorser.core.certificate_path import Vendors
from endorser.core.enrolment import examine
from schemas import media_types
from schemas.codecs.cose import HEADER_TYPE
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.enrolment import (
    Activation,
    Challenge,
    EnrolmentRequest,
    IakProof,
    Outcome,
    challenge_digest,
    encode_activation,
    encode_request,
    parse_activation,
    parse_request,
    request_digest,
    sign_challenge,
    sign_outcome,
    verify_challenge,
    verify_outcome,
)
from tests.builders.ek_authority import NOW_S, Authority, der
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import KEY, KEYS, signed

_ROOT = Authority("root")
_VENDORS = Vendors(roots=(("acme", _ROOT.certificate),), iak_roots=(("oem", _ROOT.certificate),))
_REQUEST = EnrolmentRequest(
    ek_public=b"\x00\x23",
    ak_public=b"\x00\x23",
    nonce=bytes(16),
    certificate=der(_ROOT.certify(_ROOT.key.public_key())),
    chain=(der(_ROOT.certificate),),
    name="device-1",
)
_ACTIVATION = Activation(request=request_digest(b""), challenge=challenge_digest(b""), proof=bytes(32))
_UEID = Ueid(b"\x01" + bytes(32))
_BY_IAK = replace(
    _REQUEST,
    certificate=None,
    iak=IakProof(certificate=der(_ROOT.certificate), attest=bytes.fromhex("ff54434780170000"), signature=bytes(8)),
)
SEEDS = [
    b"\x00" + encode_request(_REQUEST),
    b"\x00" + encode_request(_BY_IAK),
    b"\x01" + encode_activation(_ACTIVATION),
    b"\x02"
    + sign_challenge(
        Challenge(
            ueid=_UEID, request=request_digest(b""), credential=bytes(68), encrypted_secret=bytes(68), expires_s=1
        ),
        KEY,
    ),
    b"\x03" + sign_outcome(Outcome(ueid=_UEID, request=request_digest(b""), endorsement=b"x"), KEY),
]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    kind, raw = data[:1], data[1:]
    if kind == b"\x00":
        assert encode_request(parse_request(raw)) == raw
        examine(raw, _VENDORS, NOW_S)
    elif kind == b"\x01":
        assert encode_activation(parse_activation(raw)) == raw
    elif kind == b"\x02":
        verify_challenge(raw, KEYS)
    elif kind == b"\x03":
        verify_outcome(raw, KEYS)
    else:
        for verify, kind_of in (
            (verify_challenge, media_types.ENROLMENT_CHALLENGE),
            (verify_outcome, media_types.ENROLMENT_OUTCOME),
        ):
            try:
                verify(signed(raw, {HEADER_TYPE: kind_of}), KEYS)
            except PeerError:
                continue
