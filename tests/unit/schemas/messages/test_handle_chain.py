"""Chains of handles: gaps, forks, and chains without either."""

import hashlib
from dataclasses import replace

import pytest

from schemas.identifiers import HandleId
from schemas.messages.handle import Handle, HandleClaims
from schemas.messages.handle_chain import MAX_ISSUERS, MAX_LINKS, Fit, HandleChain
from schemas.reasons import Reason

T_S = 1_800_000_000


def handle(name: str, previous: Handle | None, at_s: int, *, issuer: str = "d") -> Handle:
    """A handle as if verified; ``name`` distinguishes handles of the same time."""
    claims = HandleClaims(
        issuer=issuer,
        not_before_s=T_S + at_s,
        expires_s=T_S + at_s + 60,
        nonce=hashlib.sha256(name.encode()).digest(),
        epoch_marker=b"",
        previous=previous.id if previous is not None else None,
    )
    digest = hashlib.sha256(f"{issuer}{name}{claims.previous!r}".encode()).digest()
    return Handle(id=HandleId(digest), raw=b"", claims=claims, time_us=(T_S + at_s) * 1_000_000, accuracy_us=0)


def chain(count: int, *, issuer: str = "d") -> list[Handle]:
    """Handles of an honest distributor, ten seconds apart."""
    made: list[Handle] = []
    for number in range(count):
        made.append(handle(str(number), made[-1] if made else None, 10 * number, issuer=issuer))
    return made


def fits(*handles: Handle) -> list[Fit]:
    """The reports of one observer, in this order."""
    observer = HandleChain()
    return [observer.follow(each) for each in handles]


def test_a_chain_is_linked_and_a_repeated_handle_is_known() -> None:
    made = chain(4)
    assert fits(*made) == [Fit.FIRST, Fit.LINKED, Fit.LINKED, Fit.LINKED]
    assert fits(made[0], made[1], made[1], made[0]) == [Fit.FIRST, Fit.LINKED, Fit.KNOWN, Fit.KNOWN]


def test_after_an_absence_there_is_a_gap_and_then_it_goes_on() -> None:
    made = chain(5)
    assert fits(made[0], made[3], made[4]) == [Fit.FIRST, Fit.GAP, Fit.LINKED]


def test_handles_in_any_order_are_not_a_fork() -> None:
    made = chain(4)
    assert fits(*reversed(made)) == [Fit.FIRST, Fit.LINKED, Fit.LINKED, Fit.LINKED]
    assert fits(made[0], made[3], made[1], made[2]) == [Fit.FIRST, Fit.GAP, Fit.LINKED, Fit.LINKED]


def test_two_that_name_the_same_previous_are_a_fork_also_when_that_one_is_unknown() -> None:
    made = chain(3)
    rival = handle("rival", made[1], 25)
    assert fits(*made, rival)[-1] is Fit.FORKED
    assert fits(made[2], rival)[-1] is Fit.FORKED
    assert fits(*made, handle("older", made[1], 15))[-1] is Fit.FORKED


def test_one_that_names_an_older_one_than_the_last_is_a_fork() -> None:
    made = chain(4)
    rival = handle("rival", made[1], 40)
    assert fits(made[0], made[1], made[3], rival) == [Fit.FIRST, Fit.LINKED, Fit.GAP, Fit.FORKED]


def test_one_that_lies_between_two_linked_ones_is_a_fork() -> None:
    made = chain(3)
    assert fits(*made, handle("between", None, 15))[-1] is Fit.FORKED


def test_two_that_are_used_in_turn_alarm_every_time_but_one_that_ended_does_not() -> None:
    """A distributor restored from a copy continues from an older handle; the other branch has ended."""
    made = chain(3)
    restored = [*made, handle("again", made[1], 30)]
    restored.append(handle("on", restored[-1], 40))
    assert fits(*restored)[-2:] == [Fit.FORKED, Fit.LINKED]
    thief = handle("thief", made[1], 45)
    both = [*restored, thief, handle("honest", restored[-1], 50)]
    assert fits(*both)[-2:] == [Fit.FORKED, Fit.FORKED]


def test_a_distributor_that_lost_its_file_starts_again_with_a_gap() -> None:
    made = chain(3)
    anew = handle("anew", None, 30)
    assert fits(*made, anew, handle("next", anew, 40))[-2:] == [Fit.GAP, Fit.LINKED]


def test_encodings_of_one_handle_are_one_link() -> None:
    """A broker can encode the token again, and anyone can ask the TSA for another: same claims, another id."""
    made = chain(3)
    twin = replace(made[1], id=HandleId(b"t" * 32), time_us=made[2].time_us + 50_000_000)
    assert fits(*made, twin)[-1] is Fit.KNOWN
    assert fits(made[0], twin, made[1], made[2]) == [Fit.FIRST, Fit.LINKED, Fit.KNOWN, Fit.LINKED]


def test_within_one_second_the_order_is_not_known_and_nothing_is_reported() -> None:
    first = handle("0", None, 0)
    second = handle("1", first, 0)
    assert fits(first, second, handle("2", second, 0)) == [Fit.FIRST, Fit.LINKED, Fit.LINKED]


def test_issuers_are_independent() -> None:
    one, other = chain(3, issuer="one"), chain(3, issuer="other")
    mixed = [each for pair in zip(one, other, strict=True) for each in pair]
    assert fits(*mixed) == [Fit.FIRST, Fit.FIRST, *[Fit.LINKED] * 4]


def test_memory_is_bounded_and_a_forgotten_predecessor_is_a_gap() -> None:
    made = chain(2 * MAX_LINKS)
    observer = HandleChain()
    assert {observer.follow(each) for each in made} == {Fit.FIRST, Fit.LINKED}
    assert observer.follow(handle("rival", made[0], 2 * 10 * MAX_LINKS)) is Fit.GAP
    for number in range(2 * MAX_ISSUERS):
        assert observer.follow(handle("0", None, 0, issuer=f"i{number}")) is Fit.FIRST
    assert observer.follow(made[-1]) is Fit.FIRST


# ── each sign of a fork by itself ────────────────────────────────────────────────────────────────────────────────────


def test_two_of_one_second_that_name_the_same_previous_are_a_fork() -> None:
    """Nothing lies between anything: only that they name the same one shows it."""
    made = chain(3)
    assert fits(made[0], made[1], handle("rival", made[0], 10))[-1] is Fit.FORKED
    assert fits(*made, handle("rival", made[0], 10))[-1] is Fit.FORKED
    assert fits(made[1], handle("rival", made[0], 10))[-1] is Fit.FORKED


def test_two_firsts_are_no_twins() -> None:
    assert fits(handle("0", None, 0), handle("other", None, 0)) == [Fit.FIRST, Fit.GAP]


def test_one_that_is_younger_than_the_one_that_names_it_is_a_fork() -> None:
    late = handle("late", None, 10)
    assert fits(handle("child", late, 9), late) == [Fit.FIRST, Fit.FORKED]
    assert fits(handle("child", late, 10), late) == [Fit.FIRST, Fit.LINKED]


def test_one_that_is_older_than_the_one_it_names_is_a_fork() -> None:
    first = handle("0", None, 10)
    assert fits(first, handle("child", first, 9)) == [Fit.FIRST, Fit.FORKED]
    assert fits(first, handle("child", first, 10)) == [Fit.FIRST, Fit.LINKED]


def test_a_third_between_one_and_its_known_child_is_a_fork_whichever_comes_last() -> None:
    parent = handle("parent", None, 10)
    child, third = handle("child", parent, 30), handle("third", None, 20)
    assert fits(child, third, parent) == [Fit.FIRST, Fit.GAP, Fit.FORKED]
    assert fits(parent, third, child) == [Fit.FIRST, Fit.GAP, Fit.FORKED]
    assert fits(parent, child, third) == [Fit.FIRST, Fit.LINKED, Fit.FORKED]


@pytest.mark.parametrize("at_s", [10, 30])
def test_a_third_in_the_second_of_either_is_not_between_them(at_s: int) -> None:
    parent = handle("parent", None, 10)
    child, third = handle("child", parent, 30), handle("third", None, at_s)
    assert fits(child, third, parent)[-1] is Fit.LINKED
    assert fits(parent, third, child)[-1] is Fit.LINKED
    assert fits(parent, child, third)[-1] is Fit.GAP


def test_a_third_outside_of_two_linked_ones_is_no_fork() -> None:
    parent = handle("parent", None, 10)
    child = handle("child", parent, 30)
    for at_s in (9, 31):
        assert fits(parent, child, handle("third", None, at_s))[-1] is Fit.GAP


def test_one_that_two_known_ones_name_is_a_fork() -> None:
    parent = handle("parent", None, 10)
    twins = handle("one", parent, 20), handle("other", parent, 20)
    assert fits(*twins, parent) == [Fit.FIRST, Fit.FORKED, Fit.FORKED]


# ── what is remembered ───────────────────────────────────────────────────────────────────────────────────────────────


def test_as_many_links_are_remembered_as_said_and_the_oldest_is_forgotten() -> None:
    assert MAX_LINKS == 64
    made = chain(65)
    observer = HandleChain()
    for each in made[:64]:
        observer.follow(each)
    assert observer.follow(made[0]) is Fit.KNOWN
    observer.follow(made[64])
    assert observer.follow(made[1]) is Fit.KNOWN
    assert observer.follow(made[0]) is not Fit.KNOWN


def test_it_is_the_oldest_by_its_time_that_is_forgotten_not_the_first_that_came() -> None:
    made = chain(65)
    observer = HandleChain()
    for each in reversed(made):
        observer.follow(each)
    assert observer.follow(made[64]) is Fit.KNOWN
    assert observer.follow(made[1]) is Fit.KNOWN
    assert observer.follow(made[0]) is not Fit.KNOWN


def test_as_many_issuers_are_remembered_as_said_and_the_one_not_heard_of_longest_is_forgotten() -> None:
    assert MAX_ISSUERS == 64
    observer = HandleChain()
    firsts = [handle("0", None, 0, issuer=f"i{number}") for number in range(65)]
    for each in firsts[:64]:
        assert observer.follow(each) is Fit.FIRST
    assert observer.follow(firsts[0]) is Fit.KNOWN
    assert observer.follow(firsts[64]) is Fit.FIRST
    assert observer.follow(firsts[0]) is Fit.KNOWN
    assert observer.follow(firsts[2]) is Fit.KNOWN
    assert observer.follow(firsts[1]) is Fit.FIRST


@pytest.mark.parametrize(("spelling", "fit"), [(0, Fit.LINKED), (3, Fit.LINKED), (4, Fit.GAP)])
def test_four_spellings_of_a_handle_are_remembered(spelling: int, fit: Fit) -> None:
    """A stranger can make any number of them; what names a fifth one is a gap, and no fork."""
    first = handle("0", None, 0)
    spellings = [first, *(replace(first, id=HandleId(bytes([number]) * 32)) for number in range(1, 5))]
    observer = HandleChain()
    assert [observer.follow(each) for each in spellings] == [Fit.FIRST, *[Fit.KNOWN] * 4]
    assert observer.follow(handle("1", spellings[spelling], 10)) is fit


def test_gaps_and_forks_have_codes_and_nothing_else_has() -> None:
    codes = {fit: fit.reason for fit in Fit if fit.reason is not None}
    assert codes == {Fit.GAP: Reason.HANDLE_CHAIN_GAP, Fit.FORKED: Reason.HANDLE_CHAIN_FORKED}


def test_the_dashboard_shows_how_a_handle_fits_in_these_words() -> None:
    assert list(Fit) == ["first", "known", "linked", "gap", "forked"]
