"""Reasons and verdicts in words: complete, plain, and no claim that the verifier does not make."""

import re
from pathlib import Path

import pytest

from schemas.reasons import Reason
from schemas.text.reasons import REASON_TEXTS, explain
from schemas.text.verdicts import (
    CLAIM_TEXTS,
    CLAIMS_OF,
    FRESHNESS_TEXTS,
    TIER_TEXTS,
    reasons_behind,
    value_text,
)
from schemas.verdicts import Freshness, Tier, TrustClaim
from verifier_worker.core.checks.appraisal import EFFECTS

THREAT_MODEL = (Path(__file__).resolve().parents[4] / "docs" / "threat-model.md").read_text("utf-8")


def test_every_reason_has_its_words_and_no_other_has_any() -> None:
    assert set(REASON_TEXTS) == set(Reason)
    assert set(TIER_TEXTS) == set(Tier)
    assert set(FRESHNESS_TEXTS) == set(Freshness)
    assert set(CLAIM_TEXTS) == set(TrustClaim)


@pytest.mark.parametrize("reason", Reason)
def test_a_text_is_a_plain_sentence_that_stands_in_a_line(reason: Reason) -> None:
    text = explain(reason)
    for part in (text.meaning, text.next_step):
        assert part.isprintable()
        assert 5 < len(part) <= 160
        assert not part.endswith(".")
        assert part == part.strip()
    assert reason.value not in text.meaning, "a word of its own, not the code again"


def test_no_two_reasons_say_the_same() -> None:
    assert len({text.meaning for text in REASON_TEXTS.values()}) == len(REASON_TEXTS)


def test_what_the_threat_model_says_changes_no_verdict_is_not_told_as_bad() -> None:
    section = re.search(r"## The world around us\n(.+?)\n## ", THREAT_MODEL, re.DOTALL)
    assert section is not None
    for code in re.findall(r"`([a-z-]+)`", section.group(1)):
        assert not CLAIMS_OF.get(Reason(code))
        assert Reason(code) not in EFFECTS


def test_a_code_of_a_newer_verifier_is_said_to_be_unknown() -> None:
    assert "does not know" in explain("moon-in-the-wrong-phase").meaning


def test_the_claims_behind_reasons_are_those_that_the_verifier_sets() -> None:
    expected = {reason: set(effect.values) for reason, effect in EFFECTS.items() if effect.values}
    assert {reason: set(claims) for reason, claims in CLAIMS_OF.items()} == expected


def test_no_bad_value_is_worded_as_affirmed() -> None:
    for effect in EFFECTS.values():
        for claim, value in effect.values.items():
            assert value_text(claim, value) != "affirmed"
    assert value_text(TrustClaim.HARDWARE, 0) == "nothing concluded"
    assert value_text(TrustClaim.HARDWARE, -97) == "not to be trusted"


def test_the_reason_behind_a_claim_is_one_that_sets_it() -> None:
    reasons = ("file-unexpected", "secure-boot-off", "rebooted")
    assert reasons_behind(TrustClaim.EXECUTABLES, 96, reasons) == ["file-unexpected"]
    assert reasons_behind(TrustClaim.CONFIGURATION, 96, reasons) == ["secure-boot-off"]
    assert reasons_behind(TrustClaim.EXECUTABLES, 2, reasons) == []
    assert reasons_behind(TrustClaim.CONFIGURATION, 32, ("policy-rule",)) == ["policy-rule"]
