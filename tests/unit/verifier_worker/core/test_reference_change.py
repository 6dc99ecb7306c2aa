"""``carry_over``: which state goes on under another label, and from which microsecond a baseline is asked for."""

from dataclasses import replace

import pytest

from schemas.identifiers import Ueid
from tests.worlds.step_bench import Bench
from verifier_worker.core.reference_change import Succession, carry_over
from verifier_worker.core.state import AttesterState
from verifier_worker.core.trust import Trust

SECOND_US = 1_000_000
ENDED_US = 1_000_000 * SECOND_US
EVIL, NOTE = (b"\x01" * 32, "/tmp/evil"), (b"\x02" * 32, "/tmp/note")


class Succeeding:
    """A state that was appraised under version 1, while version 2 is in force."""

    def __init__(self, *, narrower: tuple[str, ...] = (), ended: dict[str, int] | None = None) -> None:
        bench = Bench(policy_changes={"remeasure_s": 4096.0})
        bench.take(bench.device.push())
        assert bench.state is not None
        assert bench.state.appraised is not None
        assert bench.trust.policy is not None
        self.state: AttesterState = bench.state
        references = replace(bench.trust.references, label="good/2", narrower=frozenset(narrower), ended=ended or {})
        self.trust: Trust = replace(bench.trust, references=references)
        self.measures = bench.trust.policy.measures

    def carry_over(self, now_us: int = ENDED_US, share: int = 0) -> Succession | None:
        return carry_over(self.state, ueid(share), self.trust, now_us)

    def unexpected(self, *files: tuple[bytes, str], total: int | None = None) -> None:
        count = len(files) if total is None else total
        measured = replace(self.state.measured, unexpected=files, unexpected_total=count)
        self.state = replace(self.state, measured=measured)


def ueid(share: int) -> Ueid:
    """Of an attester with this share of 4096."""
    return Ueid(b"\x01" + bytes(30) + share.to_bytes(2))


def test_an_earlier_label_that_is_not_remembered_measures_everything_again() -> None:
    assert Succeeding().carry_over() is None
    assert Succeeding(narrower=("good/0",), ended={"good/0": ENDED_US}).carry_over() is None


def test_nothing_is_carried_over_without_a_policy_or_while_values_are_missing() -> None:
    kept = Succeeding(narrower=("good/1",))
    assert kept.carry_over() is not None
    trust = kept.trust
    kept.trust = replace(trust, policy=None)
    assert kept.carry_over() is None
    kept.trust = replace(trust, references=replace(trust.references, missing=("more",)))
    assert kept.carry_over() is None


def test_a_policy_that_judges_entries_otherwise_measures_everything_again() -> None:
    changed = Succeeding(narrower=("good/1",), ended={"good/1": ENDED_US})
    assert changed.trust.policy is not None
    changed.trust = replace(changed.trust, policy=replace(changed.trust.policy, measures="0" * 16))
    assert changed.carry_over() is None


# -- files were added only ---------------------------------------------------------------------------------------------


def test_where_nothing_was_unexpected_the_new_label_is_in_force_at_once() -> None:
    added = Succeeding(narrower=("good/1",))
    succession = added.carry_over()
    assert succession is not None
    assert succession.state.measured == replace(added.state.measured, label=f"{added.measures} good/2")
    assert succession.state.appraised is None
    assert not succession.ask


def test_recorded_files_are_judged_again_one_by_one() -> None:
    added = Succeeding(narrower=("good/1",))
    added.unexpected(EVIL, NOTE)
    files = added.trust.references.files | {NOTE[0]}
    added.trust = replace(added.trust, references=replace(added.trust.references, files=files))
    succession = added.carry_over()
    assert succession is not None
    measured = succession.state.measured
    assert (measured.unexpected, measured.unexpected_total) == ((EVIL,), 1)
    assert measured.label == added.state.measured.label  # until the baseline
    assert succession.state.appraised is None
    assert succession.ask


def test_where_not_all_files_are_recorded_none_is_taken_back() -> None:
    added = Succeeding(narrower=("good/1",))
    added.unexpected(EVIL, NOTE, total=3)
    files = added.trust.references.files | {EVIL[0], NOTE[0]}
    added.trust = replace(added.trust, references=replace(added.trust.references, files=files))
    succession = added.carry_over()
    assert succession is not None
    measured = succession.state.measured
    assert (measured.unexpected, measured.unexpected_total) == ((EVIL, NOTE), 3)
    assert succession.ask
    added.unexpected(EVIL, NOTE)
    succession = added.carry_over()
    assert succession is not None
    assert (succession.state.measured.unexpected, succession.state.measured.unexpected_total) == ((), 0)
    assert not succession.ask


# -- files were taken away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now_us", "goes_on"),
    [
        (ENDED_US - 1, False),  # our clock was set back
        (ENDED_US, True),
        (ENDED_US + 4096 * SECOND_US - 1, True),
        (ENDED_US + 4096 * SECOND_US, False),
    ],
)
def test_after_a_removal_a_state_goes_on_for_as_long_as_the_policy_says(now_us: int, goes_on: bool) -> None:
    assert (Succeeding(ended={"good/1": ENDED_US}).carry_over(now_us) is not None) is goes_on


@pytest.mark.parametrize("share", [0, 1, 2048, 4095])
def test_each_attester_is_asked_at_its_own_time_within_three_quarters(share: int) -> None:
    removed = Succeeding(ended={"good/1": ENDED_US})
    asked_us = ENDED_US + share * SECOND_US * 3 // 4
    if share:
        early = removed.carry_over(asked_us - 1, share)
        assert early is not None
        assert not early.ask
    due = removed.carry_over(asked_us, share)
    assert due is not None
    assert due.ask
    assert due.state == removed.state  # with its old label
    assert due.state.appraised is None


def test_a_time_between_two_microseconds_is_rounded_down() -> None:
    removed = Succeeding(ended={"good/1": ENDED_US})
    assert removed.trust.policy is not None
    removed.trust = replace(removed.trust, policy=replace(removed.trust.policy, remeasure_us=SECOND_US))
    due = removed.carry_over(ENDED_US + 183, 1)  # a share of 183.1 microseconds
    assert due is not None
    assert due.ask


def test_only_the_last_twelve_bits_of_a_name_say_when_it_is_asked() -> None:
    removed = Succeeding(ended={"good/1": ENDED_US})
    for name in (b"\xff" * 31 + b"\x00\x00", b"\x01" + bytes(30) + b"\x10\x00"):
        succession = carry_over(removed.state, Ueid(name), removed.trust, ENDED_US)
        assert succession is not None
        assert succession.ask


def test_a_label_that_is_both_is_of_values_that_were_only_added() -> None:
    both = Succeeding(narrower=("good/1",), ended={"good/1": ENDED_US})
    succession = both.carry_over()
    assert succession is not None
    assert succession.state.measured.label == f"{both.measures} good/2"
