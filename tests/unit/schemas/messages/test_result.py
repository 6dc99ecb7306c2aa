"""Attestation results as EAR claims, encoded and parsed."""

import copy
import json

import pytest

from schemas.errors import PeerError
from schemas.identifiers import HandleId, Ueid
from schemas.messages.evidence import Transition
from schemas.messages.result import AttestationResult, Rejections, from_claims, to_claims
from schemas.reasons import Reason
from schemas.transitions import TransitionKind
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import AFFIRMING, NOW_S, result_about

FULL = result_about(
    status=Tier.CONTRAINDICATED,
    freshness=Freshness.STALE,
    reasons=("file-unexpected", "rebooted"),
    vector={TrustClaim.INSTANCE_IDENTITY: 2, TrustClaim.EXECUTABLES: 96},
    handle=HandleId(bytes(range(32))),
    evidence=bytes(32),
    sequence=5,
    made_after_us=NOW_S * 1_000_000 - 5,
    policies=("demo/1",),
    reference_values=("golden/7", "apps/3+"),
    logs={"tcg2": 25, "ima": 40},
    logs_total={"ima": 90},
    unexpected=("/usr/bin/evil",),
    unexpected_total=3,
    claims={"kernel-release": "6.1", "cores": 2, "debug": False},
    rejections=Rejections(count=2, last="evidence-replayed", last_us=NOW_S * 1_000_000),
    clock_rate_ppm=(-100, 300),
)


def claims_of(result: AttestationResult) -> dict[str, object]:
    """The claims, encoded to JSON and decoded."""
    decoded: dict[str, object] = json.loads(json.dumps(to_claims(result, "tests", "1")))
    return decoded


@pytest.mark.parametrize("result", [AFFIRMING, FULL, result_about(environment=b"", status=Tier.NONE, vector={})])
def test_a_result_survives_the_journey(result: AttestationResult) -> None:
    assert from_claims(claims_of(result)) == result


def test_the_claims_are_those_of_ear() -> None:
    claims = claims_of(FULL)
    assert claims["eat_profile"] == "tag:ietf.org,2026:rats/ear#04"
    assert {"iat", "exp", "iss", "ueid", "eat_nonce", "ear_verifier_id", "ear_status", "submods"} <= set(claims)
    submods = claims["submods"]
    assert isinstance(submods, dict)
    ((_, appraisal),) = submods.items()
    assert appraisal["ear_trustworthiness_vector"] == {"instance-identity": 2, "executables": 96}
    assert appraisal["ear_appraisal_policy_ids"] == ["demo/1"]


def test_a_status_better_than_its_vector_is_refused() -> None:
    lying = result_about(status=Tier.AFFIRMING, vector={TrustClaim.EXECUTABLES: 96})
    with pytest.raises(PeerError) as refused:
        from_claims(claims_of(lying))
    assert refused.value.reason == Reason.MALFORMED


def test_a_status_better_than_its_submodule_is_refused() -> None:
    claims = claims_of(result_about(status=Tier.NONE, vector={TrustClaim.EXECUTABLES: 96}))
    claims["ear_status"] = "affirming"
    with pytest.raises(PeerError):
        from_claims(claims)


def test_unknown_claims_are_ignored() -> None:
    assert from_claims(claims_of(FULL) | {"something": {"new": 1}}) == FULL


PATHS = [("iat",), ("exp",), ("iss",), ("ueid",), ("submods",), ("ear_status",), ("eat_profile",)]
DEEP = [("ear_status",), ("ear_trustworthiness_vector",), ("ear_verifier_claims",)]


@pytest.mark.parametrize("wrong", [None, [], {}, 7.5, "x", True, 2**60])
@pytest.mark.parametrize("path", [*PATHS, *[("submods", *path) for path in DEEP], ("eat_nonce",)])
def test_claims_of_another_form_are_malformed(path: tuple[str, ...], wrong: object) -> None:
    claims = copy.deepcopy(claims_of(FULL))
    target: dict[str, object] = claims
    if path[0] == "submods" and len(path) > 1:
        submods = claims["submods"]
        assert isinstance(submods, dict)
        (target,) = submods.values()
    if path == ("iss",) and wrong == "x":
        return
    target[path[-1]] = wrong
    if path == ("eat_nonce",) and wrong is None:  # the same as a missing one
        assert from_claims(claims).handle is None
        return
    with pytest.raises(PeerError) as refused:
        from_claims(claims)
    assert refused.value.reason == Reason.MALFORMED


# ── the JSON, and each member ────────────────────────────────────────────────────────────────────────────────────────

ATTESTER = Ueid(b"\x01" + bytes(32))
EVERYTHING = AttestationResult(
    ueid=ATTESTER,
    environment=b"\x00\x0b\xaa",
    status=Tier.CONTRAINDICATED,
    freshness=Freshness.STALE,
    reasons=("file-unexpected", "rebooted"),
    vector={TrustClaim.EXECUTABLES: 96, TrustClaim.INSTANCE_IDENTITY: 2},
    issued_s=1,
    expires_s=2,
    verifier="v1",
    handle=HandleId(b"\x01" * 32),
    evidence=b"\x02" * 32,
    sequence=3,
    made_after_us=4,
    made_before_us=5,
    received_us=6,
    received_after=HandleId(b"\x03" * 32),
    policies=("demo/1", "other/2"),
    logs={"ima": 7},
    logs_total={"ima": 8},
    unexpected=("/a", "/b"),
    unexpected_digests=("aa", ""),
    unexpected_total=9,
    claims={"arch": "x86_64", "cores": 2, "debug": False},
    verified_claims={"secure-boot": True},
    rejections=Rejections(count=10, last="evidence-replayed", last_us=11),
    clock_rate_ppm=(-12, 13),
    transitions=(Transition(kind=TransitionKind.KEXEC, clock_ms=14, reset_count=15, restart_count=16),),
)
DETAILS = {
    "freshness": "stale",
    "reasons": ["file-unexpected", "rebooted"],
    "evidence": "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI",
    "sequence": 3,
    "made_after_us": 4,
    "made_before_us": 5,
    "received_us": 6,
    "received_after": "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM",
    "logs": {"ima": 7},
    "logs_total": {"ima": 8},
    "unexpected": ["/a", "/b"],
    "unexpected_digests": ["aa", ""],
    "unexpected_total": 9,
    "verified_claims": {"secure-boot": True},
    "clock_rate_ppm": [-12, 13],
    "transitions": [{"kind": "kexec", "clock_ms": 14, "reset": 15, "restart": 16}],
    "rejections": {"count": 10, "last": "evidence-replayed", "last_us": 11},
}
APPRAISAL = {
    "ear_status": "contraindicated",
    "ear_trustworthiness_vector": {"instance-identity": 2, "executables": 96},
    "ear_verifier_claims": {"attestream": DETAILS},
    "ear_appraisal_policy_ids": ["demo/1", "other/2"],
    "ear_attester_claims": {"arch": "x86_64", "cores": 2, "debug": False},
}
CLAIMS = {
    "eat_profile": "tag:ietf.org,2026:rats/ear#04",
    "iss": "v1",
    "ueid": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "iat": 1,
    "exp": 2,
    "ear_verifier_id": {"developer": "tests", "build": "1"},
    "ear_status": "contraindicated",
    "submods": {"000baa": APPRAISAL},
    "eat_nonce": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
}
BARE = AttestationResult(
    ueid=ATTESTER,
    environment=b"",
    status=Tier.NONE,
    freshness=Freshness.FRESH,
    reasons=(),
    vector={},
    issued_s=1,
    expires_s=2,
    verifier="v1",
)
BARE_CLAIMS = {
    **{key: value for key, value in CLAIMS.items() if key != "eat_nonce"},
    "ear_status": "none",
    "submods": {
        "unknown": {
            "ear_status": "none",
            "ear_trustworthiness_vector": {"instance-identity": 0},
            "ear_verifier_claims": {"attestream": {"freshness": "fresh", "reasons": []}},
        }
    },
}


def with_details(**members: object) -> dict[str, object]:
    appraisal = {**APPRAISAL, "ear_verifier_claims": {"attestream": {**DETAILS, **members}}}
    return {**CLAIMS, "submods": {"000baa": appraisal}}


def with_appraisal(**members: object) -> dict[str, object]:
    return {**CLAIMS, "submods": {"000baa": {**APPRAISAL, **members}}}


def refused(claims: dict[str, object]) -> str:
    with pytest.raises(PeerError) as caught:
        from_claims(claims)
    assert caught.value.reason is Reason.MALFORMED
    return caught.value.detail


def test_every_member_has_its_name() -> None:
    assert claims_of(EVERYTHING) == CLAIMS
    assert from_claims(CLAIMS) == EVERYTHING
    assert claims_of(BARE) == BARE_CLAIMS
    assert from_claims(BARE_CLAIMS) == BARE


def test_what_a_result_does_not_state_is_left_out_and_empty() -> None:
    parsed = from_claims(BARE_CLAIMS)
    assert (parsed.policies, parsed.unexpected, parsed.unexpected_digests, parsed.transitions) == ((), (), (), ())
    assert (parsed.logs, parsed.logs_total, parsed.claims, parsed.verified_claims) == ({}, {}, {}, {})
    assert (parsed.unexpected_total, parsed.rejections, parsed.clock_rate_ppm, parsed.handle) == (0, None, None, None)


@pytest.mark.parametrize("kind", TransitionKind)
def test_every_kind_of_transition_has_its_name(kind: TransitionKind) -> None:
    made = {"kind": kind.name.lower(), "clock_ms": 0, "reset": 0, "restart": 0}
    (parsed,) = from_claims(with_details(transitions=[made])).transitions
    assert parsed == Transition(kind=kind, clock_ms=0, reset_count=0, restart_count=0)


@pytest.mark.parametrize(
    ("overall", "of_submodule", "vector", "accepted"),
    [
        ("affirming", "affirming", {"executables": 2}, True),
        ("none", "none", {"executables": 2}, True),
        ("warning", "warning", {"executables": 33}, True),
        ("contraindicated", "contraindicated", {"executables": 96}, True),
        ("none", "none", {"executables": 96}, True),
        ("none", "none", {"executables": 0}, True),
        ("affirming", "none", {"executables": 2}, False),
        ("none", "affirming", {"executables": 2}, False),
        ("affirming", "affirming", {"executables": 33}, False),
        ("warning", "warning", {"executables": 2}, False),
        ("warning", "warning", {"executables": 96}, False),
        ("affirming", "affirming", {"executables": 0}, False),
        ("affirming", "affirming", {}, False),
        ("contraindicated", "contraindicated", {"executables": 2}, False),
        ("other", "other", {"executables": 2}, False),
    ],
)
def test_a_status_follows_from_its_vector(
    overall: str, of_submodule: str, vector: dict[str, int], accepted: bool
) -> None:
    claims = with_appraisal(ear_status=of_submodule, ear_trustworthiness_vector=vector) | {"ear_status": overall}
    if accepted:
        assert from_claims(claims).status == overall
    else:
        refused(claims)


@pytest.mark.parametrize(("value", "accepted"), [(-129, False), (-128, True), (127, True), (128, False)])
def test_a_value_of_the_vector_is_one_byte(value: int, accepted: bool) -> None:
    claims = with_appraisal(ear_status="none", ear_trustworthiness_vector={"executables": value})
    if accepted:
        assert from_claims(claims | {"ear_status": "none"}).vector == {TrustClaim.EXECUTABLES: value}
    else:
        assert "beyond -128 to 127" in refused(claims | {"ear_status": "none"})


@pytest.mark.parametrize("key", [key for key in CLAIMS if key != "eat_nonce"])
def test_a_result_has_all_required_claims(key: str) -> None:
    refused({each: value for each, value in CLAIMS.items() if each != key})


@pytest.mark.parametrize(
    "claims",
    [
        {**CLAIMS, "eat_profile": "tag:ietf.org,2026:rats/ear#05"},
        {**CLAIMS, "submods": {}},
        {**CLAIMS, "submods": {"000baa": APPRAISAL, "000bab": APPRAISAL}},
        {**CLAIMS, "submods": {"xyz": APPRAISAL}},
        {**CLAIMS, "submods": {"000baa": []}},
        {**CLAIMS, "ear_verifier_id": {"developer": "tests"}},
        {**CLAIMS, "ear_verifier_id": {"build": "1"}},
        {**CLAIMS, "ear_verifier_id": {"developer": 1, "build": "1"}},
        {**CLAIMS, "ear_verifier_id": {"developer": "tests", "build": 1}},
        {**CLAIMS, "ueid": "AQ"},
        {**CLAIMS, "eat_nonce": "A="},
        {**CLAIMS, "eat_nonce": 1},
        with_appraisal(ear_verifier_claims={}),
        with_appraisal(ear_trustworthiness_vector={"other": 2}),
        with_appraisal(ear_trustworthiness_vector={"executables": True}),
        with_appraisal(ear_trustworthiness_vector={"executables": "96"}),
        with_appraisal(ear_appraisal_policy_ids="demo/1"),
        with_appraisal(ear_appraisal_policy_ids=[1]),
        with_appraisal(ear_attester_claims=[]),
        with_details(freshness="new"),
        with_details(reasons="rebooted"),
        with_details(reasons=[1]),
        with_details(evidence=1),
        with_details(evidence="A="),
        with_details(received_after=1),
        with_details(received_after="A="),
        *(
            with_details(**{name: wrong})
            for name in ("sequence", "made_after_us", "made_before_us", "received_us", "unexpected_total")
            for wrong in ("1", True, 2**53 + 1, -(2**53) - 1, 1.5)
        ),
        with_details(unexpected_total=None),
        with_details(logs=[]),
        with_details(logs={"ima": "7"}),
        with_details(logs_total=[]),
        with_details(logs_total={"ima": "8"}),
        with_details(unexpected="/a"),
        with_details(unexpected=[1]),
        with_details(unexpected_digests="aa"),
        with_details(unexpected_digests=[1]),
        with_details(verified_claims=[]),
        with_details(clock_rate_ppm=[1]),
        with_details(clock_rate_ppm=[1, 2, 3]),
        with_details(clock_rate_ppm=[1, "2"]),
        with_details(clock_rate_ppm=["1", 2]),
        with_details(transitions={}),
        with_details(transitions=[[]]),
        with_details(transitions=[{"kind": "reboot", "clock_ms": 1, "reset": 1, "restart": 1}]),
        with_details(transitions=[{"kind": 2, "clock_ms": 1, "reset": 1, "restart": 1}]),
        with_details(transitions=[{"kind": "kexec", "clock_ms": "1", "reset": 1, "restart": 1}]),
        with_details(transitions=[{"kind": "kexec", "clock_ms": 1, "reset": "1", "restart": 1}]),
        with_details(transitions=[{"kind": "kexec", "clock_ms": 1, "reset": 1, "restart": "1"}]),
        with_details(transitions=[{"kind": "kexec", "clock_ms": 1, "reset": 1}]),
        with_details(rejections=[]),
        with_details(rejections={"count": 1, "last": "x"}),
        with_details(rejections={"count": "1", "last": "x", "last_us": 1}),
        with_details(rejections={"count": 1, "last": 1, "last_us": 1}),
        with_details(rejections={"count": 1, "last": "x", "last_us": "1"}),
    ],
)
def test_members_of_another_form_are_refused(claims: dict[str, object]) -> None:
    refused(claims)


def test_integers_are_exact_in_every_json_reader() -> None:
    for number in (2**53, -(2**53), 0):
        assert from_claims(with_details(sequence=number)).sequence == number


def test_claims_that_are_no_plain_values_are_left_out() -> None:
    given = {"text": "a", "number": 1, "flag": True, "list": [1], "map": {}, "none": None, "real": 1.5}
    plain = {"text": "a", "number": 1, "flag": True}
    assert from_claims(with_appraisal(ear_attester_claims=given)).claims == plain
    assert from_claims(with_details(verified_claims=given)).verified_claims == plain
