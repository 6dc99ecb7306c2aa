"""Results in both forms: equal content, and no trust without the right signature, type and algorithm."""

from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key

from schemas import media_types
from schemas.codecs import cbor, cmw, cose, jws
from schemas.errors import PeerError
from schemas.identifiers import HandleId
from schemas.media_types import Indicator
from schemas.messages import result_cwt, result_token
from schemas.messages.result import AttestationResult, Rejections, from_claims, to_claims
from schemas.messages.result_token import ResultFormat, ResultSigner, result_keys
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import STRANGERS_KEY, VERIFIER_KEY, result_about

KEYS = result_keys({b"": VERIFIER_KEY.public_key()})
COSE_KEYS = {cose.key_id(VERIFIER_KEY.public_key()): VERIFIER_KEY.public_key()}
TYPED = {cose.HEADER_TYPE: result_cwt.TYPE}
FULL = result_about(
    status=Tier.CONTRAINDICATED,
    reasons=("file-unexpected",),
    vector={TrustClaim.INSTANCE_IDENTITY: 2, TrustClaim.EXECUTABLES: 96},
    handle=HandleId(bytes(range(32))),
    evidence=bytes(range(1, 33)),
    received_after=HandleId(bytes(32)),
    sequence=7,
    made_after_us=1,
    policies=("fleet/3",),
    logs={"ima": 7},
    claims={"os": "Debian", "n": 1, "b": True},
    verified_claims={"secure-boot": True},
    clock_rate_ppm=(-5, 5),
    rejections=Rejections(count=1, last="malformed", last_us=3),
)
UNDECIDED = result_about(status=Tier.NONE, freshness=Freshness.STALE, vector={}, environment=b"")


def token_of(result: AttestationResult, form: ResultFormat) -> bytes:
    return ResultSigner(VERIFIER_KEY, "tests", "1", form).sign(result)


def refusal(token: bytes) -> Reason:
    with pytest.raises(PeerError) as refused:
        result_token.verify(token, KEYS)
    return refused.value.reason


def signed(claims: object, headers: dict[int, object] | None = None) -> bytes:
    """A CWT over any claims, signed by a trusted verifier."""
    sign1 = cose.sign(cbor.encode(claims), VERIFIER_KEY, TYPED if headers is None else headers)
    return cbor.encode(cbor.Tag(result_cwt.TAG_CWT, cose.to_tag(sign1)))


@pytest.mark.parametrize("form", ResultFormat)
@pytest.mark.parametrize("result", [result_about(), FULL, UNDECIDED])
def test_a_result_survives_the_journey_in_either_form(result: AttestationResult, form: ResultFormat) -> None:
    payload = result_token.wrap(token_of(result, form))
    assert result_token.verify(result_token.unwrap(payload), KEYS) == result


@pytest.mark.parametrize("form", ResultFormat)
def test_strangers_and_changed_bytes_are_refused(form: ResultFormat) -> None:
    assert refusal(ResultSigner(STRANGERS_KEY, "x", "x", form).sign(FULL)) == Reason.RESULT_SIGNATURE_INVALID
    token = token_of(FULL, form)
    for position in range(0, len(token), 7):
        changed = bytearray(token)
        changed[position] ^= 1
        assert refusal(bytes(changed)) in {Reason.RESULT_SIGNATURE_INVALID, Reason.MALFORMED}


def test_another_algorithm_is_refused() -> None:
    claims = to_claims(FULL, "d", "b")
    kid = cose.key_id(VERIFIER_KEY.public_key()).hex()
    headers = {"typ": jws.TYPE, "kid": kid}
    unsigned = jwt.encode(claims, "", algorithm="none", headers=headers)
    shared = jwt.encode(claims, "0" * 64, algorithm="HS256", headers=headers)
    longer = jwt.encode(claims, generate_private_key(SECP384R1()), algorithm="ES384", headers=headers)
    for token in (unsigned, shared, longer):
        assert refusal(token.encode()) == Reason.RESULT_SIGNATURE_INVALID
    assert refusal(signed({}, {**TYPED, cose.HEADER_ALGORITHM: -8})) == Reason.MALFORMED


def test_an_object_of_another_type_is_not_a_result() -> None:
    claims = result_cwt.to_cbor(to_claims(FULL, "d", "b"))
    assert refusal(signed(claims, {cose.HEADER_TYPE: media_types.SOLICIT})) == Reason.RESULT_SIGNATURE_INVALID
    assert refusal(signed(claims, {})) == Reason.RESULT_SIGNATURE_INVALID
    kid = cose.key_id(VERIFIER_KEY.public_key()).hex()
    other = jwt.encode(to_claims(FULL, "d", "b"), VERIFIER_KEY, algorithm="ES256", headers={"typ": "JWT", "kid": kid})
    assert refusal(other.encode()) == Reason.RESULT_SIGNATURE_INVALID


def test_tag_61_may_be_missing_tag_18_may_not() -> None:
    sign1 = cose.sign(cbor.encode(result_cwt.to_cbor(to_claims(FULL, "d", "b"))), VERIFIER_KEY, TYPED)
    assert result_token.verify(cose.encode(sign1), KEYS) == FULL
    untagged = cbor.encode(cbor.Tag(61, cose.to_tag(sign1).value))
    assert refusal(untagged) == Reason.MALFORMED
    assert refusal(cbor.encode(cose.to_tag(sign1).value)) == Reason.MALFORMED


def test_the_keys_are_those_of_the_draft() -> None:
    """Numbers written out from draft-ietf-rats-ear-04, 3, AR4SI-09, 3, and RFC 9711, 10."""
    claims = result_cwt.to_cbor(to_claims(FULL, "attestream", "1"))
    assert claims.keys() == {1, 4, 6, 10, 256, 265, 266, 1000, 1004}
    assert (claims[10], claims[256], claims[1000]) == (FULL.handle, FULL.ueid, 96)
    assert claims[265] == "tag:ietf.org,2026:rats/ear#04"
    assert claims[1004] == {0: "attestream", 1: "1"}
    submodules = claims[266]
    assert isinstance(submodules, dict)
    ((name, appraisal),) = submodules.items()
    assert name == FULL.environment.hex()
    assert appraisal.keys() == {1000, 1001, 1003, 1005, 1006}
    assert (appraisal[1000], appraisal[1001], appraisal[1003]) == (96, {0: 2, 2: 96}, ["fleet/3"])
    assert appraisal[1006]["attestream"]["evidence"] == FULL.evidence


def test_the_trust_claims_are_those_of_ar4si() -> None:
    assert [(claim.label, int(claim)) for claim in TrustClaim] == [
        ("instance-identity", 0),
        ("configuration", 1),
        ("executables", 2),
        ("file-system", 3),
        ("hardware", 4),
        ("runtime-opaque", 5),
        ("storage-opaque", 6),
        ("sourced-data", 7),
    ]


@pytest.mark.parametrize(
    ("tier", "number"), [(Tier.NONE, 0), (Tier.AFFIRMING, 2), (Tier.WARNING, 32), (Tier.CONTRAINDICATED, 96)]
)
def test_the_tiers_are_those_of_ar4si(tier: Tier, number: int) -> None:
    assert result_cwt.TIERS[tier] == number


def test_a_vector_is_never_empty_on_the_wire() -> None:
    """AR4SI, 3: at least one entry. 0 means no conclusion, like a missing entry."""
    claims = result_cwt.to_cbor(to_claims(UNDECIDED, "d", "b"))
    submodules = claims[266]
    assert isinstance(submodules, dict)
    assert submodules["unknown"][1001] == {0: 0}


@pytest.mark.parametrize("value", [128, -129, 1.5, True, "2"])
def test_a_claim_value_beyond_eight_bits_is_refused(value: object) -> None:
    claims = to_claims(FULL, "d", "b")
    submodules = claims["submods"]
    assert isinstance(submodules, dict)
    next(iter(submodules.values()))["ear_trustworthiness_vector"] = {"executables": value}
    with pytest.raises(PeerError) as refused:
        from_claims(claims)
    assert refused.value.reason == Reason.MALFORMED


def test_unknown_claims_are_ignored_unknown_trust_claims_are_not() -> None:
    claims = result_cwt.to_cbor(to_claims(FULL, "d", "b"))
    assert result_token.verify(signed({**claims, -70002: {"x": 1}, 7: b"cti"}), KEYS) == FULL
    claims = result_cwt.to_cbor(to_claims(result_about(), "d", "b"))
    submodules = claims[266]
    assert isinstance(submodules, dict)
    next(iter(submodules.values()))[1001] = {0: 2, 9: 2}
    assert refusal(signed(claims)) == Reason.MALFORMED


@pytest.mark.parametrize("claims", [{}, [], 7, {1: "v"}, {266: []}, {1000: True}, {1000: 1}, {1000: 2, 1004: 1}])
def test_claims_of_another_form_are_malformed(claims: object) -> None:
    assert refusal(signed(claims)) == Reason.MALFORMED


@pytest.mark.parametrize("key", [1, 4, 6, 256, 265, 266, 1000, 1004])
def test_a_missing_claim_is_malformed(key: int) -> None:
    claims = result_cwt.to_cbor(to_claims(FULL, "d", "b"))
    del claims[key]
    assert refusal(signed(claims)) == Reason.MALFORMED


@pytest.mark.parametrize("key", [10, 256])
def test_text_where_bytes_belong_is_malformed(key: int) -> None:
    assert refusal(signed({**result_cwt.to_cbor(to_claims(FULL, "d", "b")), key: "AAAA"})) == Reason.MALFORMED


def test_a_token_travels_under_the_media_type_of_its_form_only() -> None:
    crossed = {ResultFormat.JWT: media_types.RESULT_CWT, ResultFormat.CWT: media_types.RESULT}
    for form, media_type in crossed.items():
        payload = cmw.wrap(media_type, token_of(FULL, form), Indicator.ATTESTATION_RESULTS)
        with pytest.raises(PeerError) as refused:
            result_token.unwrap(payload)
        assert refused.value.reason == Reason.UNKNOWN_MEDIA_TYPE
    with pytest.raises(PeerError, match=r"eat\+jwt.* or .*eat\+cwt"):
        result_token.unwrap(cmw.wrap(media_types.EVIDENCE, b"x", Indicator.ATTESTATION_RESULTS))


@pytest.mark.parametrize("form", ResultFormat)
def test_a_file_may_hold_the_token_or_the_message(form: ResultFormat) -> None:
    token = token_of(FULL, form)
    assert result_token.token_of(token) == token
    assert result_token.token_of(result_token.wrap(token)) == token
    assert result_token.token_of(token_of(FULL, ResultFormat.JWT) + b"\n") != b""


@pytest.mark.parametrize("token", [b"", b"\x80", b"{}", bytes(100)])
def test_bytes_of_neither_form_are_malformed(token: bytes) -> None:
    assert refusal(token) == Reason.MALFORMED


@pytest.mark.parametrize("head", [b"ey", b"\xd8\x3d", b"\xd2"])
def test_a_token_that_is_too_long_is_not_parsed(head: bytes) -> None:
    assert refusal(head + bytes(300_000)) == Reason.TOO_LARGE


def test_a_key_on_another_curve_is_refused() -> None:
    name = cose.key_id(VERIFIER_KEY.public_key()).hex()
    for form in ResultFormat:
        with pytest.raises(PeerError) as refused:
            result_token.verify(token_of(FULL, form), {name: generate_private_key(SECP384R1()).public_key()})
        assert refused.value.reason == Reason.RESULT_SIGNATURE_INVALID
        with pytest.raises(PeerError):
            result_token.verify(token_of(FULL, form), {name: generate_private_key(SECP256R1()).public_key()})


def test_the_status_cannot_be_better_than_the_vector_in_cbor_either() -> None:
    lying = replace(FULL, status=Tier.AFFIRMING)
    assert refusal(token_of(lying, ResultFormat.CWT)) == Reason.MALFORMED


@pytest.mark.parametrize("form", ResultFormat)
def test_the_bytes_to_be_signed_are_the_signed_bytes(form: ResultFormat) -> None:
    """So an auditor can compare results byte for byte, except the signature, which is different each time."""
    key_id = cose.key_id(VERIFIER_KEY.public_key())
    for made in (FULL, UNDECIDED):
        token = ResultSigner(VERIFIER_KEY, "d", "b", form).sign(made)
        assert result_token.signed_part(token) == result_token.to_be_signed(to_claims(made, "d", "b"), key_id, form)
        other = ResultSigner(VERIFIER_KEY, "d", "c", form).sign(made)
        assert result_token.signed_part(other) != result_token.signed_part(token)
