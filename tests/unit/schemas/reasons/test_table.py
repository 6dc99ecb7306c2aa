"""The table of reasons: one row a code, and no flag in it can change unnoticed."""

import re
from pathlib import Path

import pytest

from schemas.reasons import Reason
from schemas.reasons.row import CONTRADICTED, PENDING, STALE, UNDECIDED, UNSYNCHRONISED, Effect, ReasonRow
from schemas.reasons.table import ALL_ROWS, REASONS
from schemas.verdicts import Freshness, Tier, TrustClaim, Weight, overall_status

THREAT_MODEL = (Path(__file__).resolve().parents[4] / "docs" / "threat-model.md").read_text("utf-8")

# What was released. A code never changes its meaning, so these lists may only grow.
UNDECIDED_CODES = {
    *("policy-missing", "policy-conflict", "policy-rule-failed", "reference-values-missing"),
    *("baseline-required", "sequence-gap", "log-gap", "log-incomplete", "log-missing", "log-resettable"),
    *("log-replay-mismatch", "log-malformed", "pcr-not-quoted", "boot-unknown", "bank-not-extended"),
    *("trust-stale", "endorsement-replaced", "attester-decommissioned"),
    *("boot-aggregate-unverified", "ima-agent-missing", "ima-file-missing", "ima-list-outlived-tpm"),
}
STALE_CODES = {"handle-expired", "evidence-too-old", "evidence-overdue"}
UNSYNCHRONISED_CODES = {"clock-epoch-mismatch", "clock-too-fast"}
CONTRADICTED_CODES = {"clock-ran-back", "clock-ahead-of-verifier", "clock-set"}
CONFIGURATION, EXECUTABLES, FILES = TrustClaim.CONFIGURATION, TrustClaim.EXECUTABLES, TrustClaim.FILE_SYSTEM
VALUES = {
    "pcr-unexpected": {CONFIGURATION: 96, EXECUTABLES: 96},
    "file-unexpected": {EXECUTABLES: 96, FILES: 96},
    "boot-aggregate-mismatch": {CONFIGURATION: 96, EXECUTABLES: 96},
    "file-measurement-violated": {EXECUTABLES: 33, FILES: 32},
    "transition-unreported": {CONFIGURATION: 32},
    "secure-boot-off": {CONFIGURATION: 96},
    "test-keys-enrolled": {CONFIGURATION: 96},
    "boot-loader-unexpected": {EXECUTABLES: 96},
    "attesting-key-revoked": {TrustClaim.INSTANCE_IDENTITY: 96},
    "kernel-argument-missing": {CONFIGURATION: 96},
}
REPORTED_ONLY = {
    *("rebooted", "resumed", "woke-from-hibernation", "kernel-replaced", "tpm-cleared", "firmware-changed"),
    *("clock-unsafe", "clock-too-slow", "ima-bank-padded-sha1", "sync-stamp-invalid"),
}
WARNING_AT_LEAST = {
    *("pcr-unexpected", "file-unexpected", "file-measurement-violated"),
    *("secure-boot-off", "test-keys-enrolled", "boot-loader-unexpected", "kernel-argument-missing"),
}
FREE_WEIGHT = (REPORTED_ONLY - {"sync-stamp-invalid"}) | {"transition-unreported"}
LISTED = {
    "log-missing",
    *("file-unexpected", "pcr-unexpected", "boot-aggregate-mismatch", "boot-loader-unexpected"),
    *("policy-conflict", "policy-rule", "policy-rule-failed", "reference-values-missing", "bank-not-extended"),
    "log-resettable",
    *("trust-stale", "policy-missing", "attesting-key-revoked", "attester-decommissioned", "endorsement-replaced"),
    *("boot-aggregate-unverified", "ima-agent-missing", "ima-file-missing", "kernel-argument-missing"),
}
STATES = {
    *("trust-stale", "endorsement-replaced"),
    *("handle-expired", "handle-unknown", "handle-overdue", "tsa-unreachable", "tsa-clock-off", "tsa-disagree"),
    *("result-expired", "revocation-unknown", "iak-certificate-taken", "name-taken", "attesting-key-revoked"),
    *("attester-decommissioned", "enrolment-pending", "enrolment-rejected", "attester-unendorsed"),
    *("endorsement-expired", "endorsement-not-yet-valid", "clock-epoch-mismatch", "clock-ran-back", "clock-unsafe"),
    *("clock-ahead-of-verifier", "clock-too-fast", "clock-too-slow", "clock-set", "evidence-too-old"),
    *("evidence-overdue", "baseline-required", "sequence-gap", "log-gap", "log-incomplete", "policy-missing"),
    *(
        "reference-values-missing",
        "pcr-not-quoted",
        "pcr-unexpected",
        "log-missing",
        "log-resettable",
        "bank-not-extended",
        "file-unexpected",
    ),
    *("file-measurement-violated", "boot-aggregate-mismatch", "secure-boot-off", "test-keys-enrolled"),
    *(
        "boot-loader-unexpected",
        "boot-unknown",
        "policy-rule",
        "policy-rule-failed",
        "policy-conflict",
        "transition-unreported",
    ),
    *("boot-aggregate-unverified", "ima-agent-missing", "ima-file-missing", "ima-list-outlived-tpm"),
    "kernel-argument-missing",
    *("ima-bank-padded-sha1", "audit-log-altered", "audit-log-truncated", "audit-log-forked", "audit-back-dated"),
    *("audit-pruned", "broker-unreachable", "broker-refused", "tpm-unreachable", "tpm-busy", "tpm-locked-out"),
    *("tpm-fatal", "log-unreadable", "store-unavailable", "configuration-invalid"),
}


def expected_effect(code: str) -> Effect | None:
    if code in VALUES:
        return Effect(values=VALUES[code])
    groups = (
        (UNDECIDED_CODES, UNDECIDED),
        (STALE_CODES, STALE),
        (UNSYNCHRONISED_CODES, UNSYNCHRONISED),
        (CONTRADICTED_CODES, CONTRADICTED),
        ({"handle-unknown"}, PENDING),
    )
    return next((effect for codes, effect in groups if code in codes), None)


def expected_least(code: str) -> Weight | None:
    if code in WARNING_AT_LEAST:
        return Weight.WARNING
    return Weight.REPORTED if code in FREE_WEIGHT else None


def test_each_code_has_exactly_one_row() -> None:
    assert sorted(row.code for row in ALL_ROWS) == sorted(Reason)
    assert dict(REASONS) == {row.code: row for row in ALL_ROWS}
    assert len({code.value for code in Reason}) == len(Reason.__members__), "two names for one code"


@pytest.mark.parametrize("row", ALL_ROWS, ids=lambda row: row.code)
def test_a_row_states_what_was_released(row: ReasonRow) -> None:
    assert row.effect == expected_effect(row.code)
    assert row.reported_only == (row.code in REPORTED_ONLY)
    assert row.least_weight == expected_least(row.code)
    assert row.listed == (row.code in LISTED)
    assert row.lasts == (row.code in STATES)


def test_the_text_of_a_code_is_its_name_unless_it_was_released_otherwise() -> None:
    assert {code.name: code.value for code in Reason} == {
        **{name: name.lower().replace("_", "-") for name in Reason.__members__},
        "HIBERNATED": "woke-from-hibernation",
    }


def test_the_released_lists_name_only_codes() -> None:
    named = UNDECIDED_CODES | STALE_CODES | UNSYNCHRONISED_CODES | CONTRADICTED_CODES | set(VALUES) | REPORTED_ONLY
    assert named | WARNING_AT_LEAST | FREE_WEIGHT | LISTED | STATES <= set(Reason)


@pytest.mark.parametrize(
    ("effect", "freshness"),
    [
        (UNDECIDED, None),
        (STALE, Freshness.STALE),
        (UNSYNCHRONISED, Freshness.UNSYNCHRONISED),
        (CONTRADICTED, Freshness.CONTRADICTED),
        (PENDING, Freshness.PENDING),
    ],
)
def test_the_shared_effects_leave_the_verdict_undecided(effect: Effect, freshness: Freshness | None) -> None:
    assert (effect.values, effect.undecided, effect.freshness) == ({}, True, freshness)


@pytest.mark.parametrize("row", ALL_ROWS, ids=lambda row: row.code)
def test_the_parts_of_a_row_agree(row: ReasonRow) -> None:
    if row.reported_only:
        assert row.effect is None, "it decides, and is reported only"
    if row.least_weight is not None:
        assert row.claims or row.reported_only, "a policy can weigh only what a result lists"
    if row.effect is not None:
        assert row.effect.undecided is not bool(row.effect.values), "it sets claims, or leaves them undecided"
        if overall_status(row.effect.values) is Tier.CONTRAINDICATED:
            assert row.least_weight is not Weight.REPORTED, "the vector would state what nobody checked"
    if row.listed:
        assert row.effect is not None or row.code is Reason.POLICY_RULE, "no result lists this code"


def test_the_surroundings_of_a_service_change_no_verdict() -> None:
    section = re.search(r"## The world around us\n(.+?)\n## ", THREAT_MODEL, re.DOTALL)
    assert section is not None
    for code in re.findall(r"`([a-z-]+)`", section.group(1)):
        assert REASONS[code].effect is None
        assert not REASONS[code].reported_only
