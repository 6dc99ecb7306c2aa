"""Tiers of values and of whole vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.verdicts import Freshness, Tier, TrustClaim, Weight, overall_status, tier_of


# AR4SI, 2.3.2: none -1 to 1; affirming -32 to -2 and 2 to 31; warning -96 to -33 and 32 to 95; the rest contraindicated
@pytest.mark.parametrize(
    ("value", "tier"),
    [
        (-1, Tier.NONE),
        (0, Tier.NONE),
        (1, Tier.NONE),
        (2, Tier.AFFIRMING),
        (31, Tier.AFFIRMING),
        (-2, Tier.AFFIRMING),
        (-32, Tier.AFFIRMING),
        (32, Tier.WARNING),
        (95, Tier.WARNING),
        (-33, Tier.WARNING),
        (-96, Tier.WARNING),
        (96, Tier.CONTRAINDICATED),
        (127, Tier.CONTRAINDICATED),
        (-97, Tier.CONTRAINDICATED),
        (-128, Tier.CONTRAINDICATED),
    ],
)
def test_the_tiers_of_values_are_those_of_ar4si(value: int, tier: Tier) -> None:
    assert tier_of(value) is tier


@given(st.dictionaries(st.sampled_from(TrustClaim), st.integers(-128, 127)))
def test_the_status_is_never_better_than_the_worst_value(vector: dict[TrustClaim, int]) -> None:
    order = [Tier.CONTRAINDICATED, Tier.NONE, Tier.WARNING, Tier.AFFIRMING]
    worst = min((tier_of(value) for value in vector.values()), key=order.index, default=Tier.NONE)
    assert overall_status(vector) is worst


def test_results_and_policies_spell_these_words_as_they_were_released() -> None:
    assert list(Tier) == ["none", "affirming", "warning", "contraindicated"]
    assert list(Freshness) == ["fresh", "stale", "pending", "unsynchronised", "contradicted"]
    assert list(Weight) == ["told", "warning", "none", "contraindicated"]  # lightest first


def test_the_claims_of_a_trust_vector_have_the_keys_and_names_of_ar4si() -> None:
    assert {claim.label: int(claim) for claim in TrustClaim} == {
        "instance-identity": 0,
        "configuration": 1,
        "executables": 2,
        "file-system": 3,
        "hardware": 4,
        "runtime-opaque": 5,
        "storage-opaque": 6,
        "sourced-data": 7,
    }
