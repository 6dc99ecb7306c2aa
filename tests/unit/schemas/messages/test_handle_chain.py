"""Chains of handles: gaps, forks, and chains without either."""

import hashlib
from dataclasses import replace

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


def test_gaps_and_forks_have_codes_and_nothing_else_has() -> None:
    codes = {fit: fit.reason for fit in Fit if fit.reason is not None}
    assert codes == {Fit.GAP: Reason.HANDLE_CHAIN_GAP, Fit.FORKED: Reason.HANDLE_CHAIN_FORKED}
