"""Reasons and verdicts in words: complete, plain, and in agreement with the verifier."""

import pytest

from schemas.reasons import Reason
from schemas.reasons.table import REASONS
from schemas.text.reasons import explain
from schemas.text.verdicts import (
    CLAIM_TEXTS,
    FRESHNESS_TEXTS,
    TIER_TEXTS,
    reasons_behind,
    value_text,
)
from schemas.verdicts import Freshness, Tier, TrustClaim


def test_every_word_of_a_verdict_has_a_text() -> None:
    assert set(TIER_TEXTS) == set(Tier)
    assert set(FRESHNESS_TEXTS) == set(Freshness)
    assert set(CLAIM_TEXTS) == set(TrustClaim)


@pytest.mark.parametrize("reason", Reason)
def test_a_text_is_one_plain_sentence_in_one_line(reason: Reason) -> None:
    text = explain(reason)
    for part in (text.meaning, text.next_step):
        assert part.isprintable()
        assert 5 < len(part) <= 160
        assert not part.endswith(".")
        assert part == part.strip()
    assert reason.value not in text.meaning, "a word of its own, not the code again"


def test_no_two_reasons_have_the_same_meaning() -> None:
    assert len({explain(reason).meaning for reason in Reason}) == len(Reason)


def test_a_newer_verifiers_code_is_reported_as_unknown() -> None:
    assert "does not know" in explain("moon-in-the-wrong-phase").meaning


def test_no_bad_value_is_worded_as_affirmed() -> None:
    for row in REASONS.values():
        for claim, value in row.effect.values.items() if row.effect is not None else ():
            assert value_text(claim, value) != "affirmed"
    assert value_text(TrustClaim.HARDWARE, 0) == "nothing concluded"
    assert value_text(TrustClaim.HARDWARE, -97) == "not to be trusted"


def test_the_reason_behind_a_claim_is_one_that_sets_it() -> None:
    reasons = ("file-unexpected", "secure-boot-off", "rebooted")
    assert reasons_behind(TrustClaim.EXECUTABLES, 96, reasons) == ["file-unexpected"]
    assert reasons_behind(TrustClaim.CONFIGURATION, 96, reasons) == ["secure-boot-off"]
    assert reasons_behind(TrustClaim.EXECUTABLES, 2, reasons) == []
    assert reasons_behind(TrustClaim.CONFIGURATION, 32, ("policy-rule",)) == ["policy-rule"]
