"""Whole histories against the truth: what a verifier says of time is never wrong (``tests.worlds.time_histories``).

``ATTESTREAM_HISTORIES=5000`` runs more of them, ``python -m tests.bench.time_histories`` shows what they were made of.
"""

import os
from collections import Counter

import pytest

from schemas.verdicts import Freshness, Tier
from tests.worlds.time_histories import run_history

HISTORIES = int(os.environ.get("ATTESTREAM_HISTORIES", "300"))


@pytest.fixture(scope="module", name="counts")
def counts_of_all_histories() -> "Counter[str]":
    counts: Counter[str] = Counter()
    for seed in range(HISTORIES):
        counts.update(run_history(seed))
    return counts


def test_no_history_makes_the_verifier_say_something_false(counts: "Counter[str]") -> None:
    assert counts["bounds checked"] > 10 * HISTORIES
    assert counts["rates checked"] > HISTORIES


def test_the_histories_are_worth_something(counts: "Counter[str]") -> None:
    """All that can be said of time is said in them, and most of what could be affirmed is."""
    assert counts["must be fresh"] > 5 * HISTORIES
    assert counts[f"{Tier.AFFIRMING} {Freshness.FRESH}"] > 5 * HISTORIES
    for freshness in (Freshness.STALE, Freshness.PENDING, Freshness.UNSYNCHRONISED, Freshness.CONTRADICTED):
        assert counts[f"{Tier.NONE} {freshness}"] > HISTORIES // 20, freshness
    assert counts["duplicate"]
    assert counts["refused evidence-replayed"]
    assert counts["bounds waived"]


def test_a_clock_worse_than_the_policy_believes_is_noticed() -> None:
    """The judge can convict: with no drift believed, some of these devices break their bounds."""
    convicted = []
    for seed in range(60):
        try:
            run_history(seed, believed_drift_ppm=0)
        except AssertionError as error:
            convicted.append(str(error))
    assert any("before the lower bound" in each for each in convicted)
    assert all(each.startswith("seed ") for each in convicted)
