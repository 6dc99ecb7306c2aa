"""Who waits for which handle, within a limit."""

from schemas.identifiers import HandleId, Ueid
from verifier_worker.core.awaited_handles import AwaitedHandles

FIRST, SECOND = HandleId(b"\1" * 32), HandleId(b"\2" * 32)
A, B, C = (Ueid(bytes([1, number]) + bytes(31)) for number in range(3))


def test_those_that_wait_for_a_handle_are_taken_once_and_in_order() -> None:
    awaited = AwaitedHandles(10)
    for ueid in (C, A):
        awaited.add(ueid, FIRST)
    awaited.add(B, SECOND)
    assert awaited.take(FIRST) == [A, C]
    assert awaited.take(FIRST) == []
    assert awaited.take(SECOND) == [B]


def test_an_attester_waits_for_the_handle_of_its_last_push() -> None:
    awaited = AwaitedHandles(10)
    awaited.add(A, FIRST)
    awaited.add(A, SECOND)
    assert awaited.take(FIRST) == []
    assert awaited.take(SECOND) == [A]


def test_one_that_waits_for_nothing_any_more_leaves_the_others() -> None:
    awaited = AwaitedHandles(10)
    awaited.add(A, FIRST)
    awaited.add(B, FIRST)
    awaited.remove(A)
    awaited.remove(A)
    awaited.remove(C)
    assert awaited.take(FIRST) == [B]
    awaited.remove(B)
    assert awaited.take(FIRST) == []


def test_beyond_the_limit_the_one_that_waits_longest_is_forgotten() -> None:
    awaited = AwaitedHandles(2)
    awaited.add(A, FIRST)
    awaited.add(B, FIRST)
    awaited.add(A, FIRST)  # its next push
    awaited.add(C, SECOND)
    assert awaited.take(FIRST) == [A]
    assert awaited.take(SECOND) == [C]


def test_taking_makes_room() -> None:
    awaited = AwaitedHandles(1)
    awaited.add(A, FIRST)
    awaited.take(FIRST)
    awaited.add(B, FIRST)
    assert awaited.take(FIRST) == [B]


def test_nothing_is_kept_of_handles_that_nobody_waits_for() -> None:
    awaited = AwaitedHandles(1)
    for number in range(5):
        awaited.add(A, HandleId(bytes([number]) * 32))
    awaited.remove(A)
    assert awaited._waiting == {}
