"""Claims by the agent's own word."""

import os

from attester_agent.claims import COLLECTORS, collect_claims
from schemas.limits import MAX_CLAIMS


def test_claims_are_few_short_and_say_what_runs() -> None:
    claims = collect_claims()
    assert claims["kernel-release"] == os.uname().release
    assert set(claims) <= set(COLLECTORS)
    assert len(COLLECTORS) + 1 <= MAX_CLAIMS


def test_the_label_is_a_claim() -> None:
    assert collect_claims("device-1")["label"] == "device-1"
    assert "label" not in collect_claims()
