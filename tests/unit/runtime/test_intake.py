"""Messages for a loop: in batches, bounded; and effects that are repeated until the store accepts them."""

import threading

import pytest

from runtime import intake as module
from runtime.intake import Intake, until_done
from runtime.service import Stop
from schemas.errors import WorldError
from schemas.reasons import Reason
from tests.programs.waiting import PATIENCE_S

FULL = WorldError(Reason.STORE_UNAVAILABLE, "disk is full")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TICK_S", "_FIRST_RETRY_S", "_LAST_RETRY_S"):
        monkeypatch.setattr(module, name, 0.001)


def intake(max_waiting: int = 10, max_batch: int = 3) -> tuple[Intake[int], list[None]]:
    dropped: list[None] = []
    return Intake(max_waiting=max_waiting, max_batch=max_batch, on_dropped=lambda: dropped.append(None)), dropped


def test_batches_are_in_order_and_bounded() -> None:
    messages, _ = intake()
    for number in range(5):
        messages.put(number, may_drop=False)
    taken = []
    for _ in range(3):
        with messages.batch() as batch:
            taken.append(batch)
    assert taken == [[0, 1, 2], [3, 4], []]


def test_a_batch_is_unfinished_until_it_is_handled() -> None:
    messages, _ = intake()
    for number in range(5):
        messages.put(number, may_drop=True)
    with messages.batch():
        assert (messages.unfinished(), messages.waiting) == ([0, 1, 2, 3, 4], 2)
    assert (messages.unfinished(), messages.waiting) == ([3, 4], 2)
    with pytest.raises(ZeroDivisionError), messages.batch() as batch:
        batch[0] //= 0
    assert messages.unfinished() == []


def test_beyond_the_limit_what_may_be_dropped_is() -> None:
    messages, dropped = intake(max_waiting=2)
    for number in range(4):
        messages.put(number, may_drop=True)
    assert messages.unfinished() == [0, 1]
    assert len(dropped) == 2


def test_beyond_the_limit_the_others_wait() -> None:
    messages, dropped = intake(max_waiting=1)
    messages.put(1, may_drop=False)
    waiting = threading.Thread(target=lambda: messages.put(2, may_drop=False))
    waiting.start()
    taken: list[int] = []
    while len(taken) < 2:
        with messages.batch() as batch:
            taken += batch
    waiting.join(PATIENCE_S)
    assert (taken, dropped) == ([1, 2], [])


def test_an_effect_is_repeated_until_it_succeeds() -> None:
    failures, tries = [FULL, FULL], []

    def effect() -> None:
        if failures:
            raise failures.pop()

    failed: list[WorldError] = []
    assert until_done(effect, Stop(), on_failure=failed.append, on_try=lambda: tries.append(1))
    assert (failed, len(tries)) == ([FULL, FULL], 3)


def test_a_stop_ends_the_retries_but_not_the_first_try() -> None:
    stop = Stop()
    stop.request()

    def effect() -> None:
        raise FULL

    assert not until_done(effect, stop, on_failure=lambda _error: None)
    assert until_done(lambda: None, stop, on_failure=lambda _error: None)


def test_other_errors_pass_through() -> None:
    def effect() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        until_done(effect, Stop(), on_failure=lambda _error: None)
