"""Which handles an agent binds to."""

import pytest

from attester_agent.core.handle_gate import CLOCK_TOLERANCE_US, AcceptedHandle, ClockTrust, accept_handle
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.errors import PeerError
from schemas.messages.handle import Handle, verify_handle
from schemas.reasons import Reason
from tests.fakes.attester import HandleMint

T = 1_800_000_000_000_000
S = 1_000_000


@pytest.fixture(scope="module")
def mint() -> HandleMint:
    return HandleMint()


def handle(mint: HandleMint, time_us: int, *, lifetime_s: int = 600) -> Handle:
    return verify_handle(
        mint.raw(time_us, lifetime_s=lifetime_s), mint.keys, TimeStampVerifier(mint.authority.root.pem)
    )


def refused(given: Handle, last: AcceptedHandle | None, now_us: int, clock: ClockTrust) -> Reason:
    with pytest.raises(PeerError) as caught:
        accept_handle(given, last, now_us=now_us, clock=clock)
    return caught.value.reason


def test_the_first_handle_is_accepted_and_remembered(mint: HandleMint) -> None:
    given = handle(mint, T)
    accepted = accept_handle(given, None, now_us=T + S)
    assert accepted == AcceptedHandle(id=given.id, time_us=T, expires_us=T + 600 * S)


@pytest.mark.parametrize("clock", list(ClockTrust))
def test_an_older_handle_and_one_of_the_same_time_are_refused_whatever_the_clock(
    mint: HandleMint, clock: ClockTrust
) -> None:
    last = accept_handle(handle(mint, T), None, now_us=T)
    for time_us in (T - S, T):
        assert refused(handle(mint, time_us), last, T, clock) is Reason.HANDLE_NOT_NEWER
    assert accept_handle(handle(mint, T + 1), last, now_us=T, clock=clock).time_us == T + 1


def test_a_trusted_clock_refuses_the_expired_and_what_is_from_the_future(mint: HandleMint) -> None:
    given = handle(mint, T)
    late, early = T + 600 * S + CLOCK_TOLERANCE_US, T - given.accuracy_us - CLOCK_TOLERANCE_US
    accept_handle(given, None, now_us=late)
    accept_handle(given, None, now_us=early)
    assert refused(given, None, late + 1, ClockTrust.TRUSTED) is Reason.HANDLE_EXPIRED
    assert refused(given, None, early - 1, ClockTrust.TRUSTED) is Reason.HANDLE_FROM_FUTURE


def test_an_untrusted_clock_has_no_say(mint: HandleMint) -> None:
    for now_us in (0, T + 10**15):
        assert accept_handle(handle(mint, T), None, now_us=now_us, clock=ClockTrust.UNTRUSTED).time_us == T
