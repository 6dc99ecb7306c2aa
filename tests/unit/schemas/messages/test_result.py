"""Attestation results as EAR claims, encoded and parsed."""

import copy
import json

import pytest

from schemas.errors import PeerError
from schemas.identifiers import HandleId
from schemas.messages.result import AttestationResult, Rejections, from_claims, to_claims
from schemas.reasons import Reason
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
