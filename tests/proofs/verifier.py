"""What a verifier says of a quote: ``conclusion._timed`` on numbers that can have any value."""

from dataclasses import dataclass, replace
from typing import Any, Final, cast

from schemas.identifiers import HandleId
from schemas.messages.handle import Handle
from schemas.reasons import Reason
from schemas.replay.increments import NO_VALUES
from schemas.replay.log_replay import ReplayState
from schemas.time_model import Interval
from schemas.tpm.pcr import parse_selection_text
from tests.proofs.assumptions import drift_bound, keeps_rate, reading
from tests.proofs.symbols import Values
from verifier_worker.core import conclusion
from verifier_worker.core.clock_record import ClockRecord
from verifier_worker.core.state import AttesterState, SyncPoint

_HANDLE: Final = HandleId(bytes(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class _KnownHandle:
    """As much of a handle as the bounds need."""

    made: Interval
    time_us: int


def _state(sync: SyncPoint, **counts: Any) -> AttesterState:  # noqa: ANN401 numbers of the solver
    return AttesterState(
        environment=b"",
        sequence=0,
        evidence=b"",
        envelope=b"",
        chained=None,
        sync=sync,
        replay=ReplayState(banks=()),
        settled=True,
        selection=parse_selection_text("sha256:0"),
        unlogged=NO_VALUES,
        **counts,
    )


def _made(given: Values, state: AttesterState, drift: Any, quote: Any) -> None:  # noqa: ANN401 as above
    """States that the verifier's bounds hold the quote, for a clock that it trusts and for one that it does not."""
    after, before = given.whole("handle stamped after, us"), given.whole("handle stamped before, us")
    slow = given.real("how slow the verifier's clock is, us")
    given.limit(slow >= 0)
    given.limit(after <= before)
    given.assume("a quote is received after it was made", quote <= state.received_us + slow)
    handle = cast("Handle", _KnownHandle(made=Interval(after_us=after, before_us=before), time_us=after))
    for suspect in (None, Reason.CLOCK_SET):
        known = replace(state, clock=ClockRecord(suspect=suspect))
        timed = conclusion._timed(known, handle, drift_ppm=drift, deadline_us=None)
        words = "a clock that is trusted" if suspect is None else "a clock that is suspect"
        if timed.made_after_us is not None:
            given.claim(f"{words}: made after", timed.made_after_us <= quote)
        if timed.made_before_us is not None:
            given.claim(f"{words}: made before", quote <= timed.made_before_us + slow)


def _sync(given: Values) -> tuple[Any, Any, Any]:
    """The true time of a sync proof, the exact clock in it, and when a token over it says that it was made before."""
    sync, handle = given.real("sync proof made, us"), given.whole("handle stamped after, us")
    given.assume("a handle is not known before it is stamped", sync >= handle)
    return sync, given.real("exact clock in the sync, us"), given.whole("token over the sync before, us")


def _cleared(given: Values, sync: Any, quote: Any, quote_clock: Any, drift: Any) -> None:  # noqa: ANN401 as above
    """TPM2_Clear between sync and quote: the clock starts again at nothing."""
    clear = given.real("TPM2_Clear, us")
    given.assume("a quote is later than the sync that its body names", clear >= sync)
    given.limit(quote >= clear)
    keeps_rate(given, quote - clear, quote_clock, drift)


def what_a_verifier_says_of_a_quote_is_true(given: Values) -> None:
    """Inequalities (2), (3), (4), over resets and TPM2_Clear, with a slow verifier (invariant I15)."""
    drift = drift_bound(given)
    sync, sync_clock, token = _sync(given)
    quote, quote_clock = given.real("quote made, us"), given.real("exact clock in the quote, us")
    given.assume("a token is made after the proof that it stamps", sync <= token)
    given.assume("a quote is later than the sync that its body names", quote >= sync)
    cleared = given.whole("TPM2_Clear between, 1 for yes")
    resets = given.whole("reset count in the sync"), given.whole("reset count in the quote")
    restarts = given.whole("restart count in the sync"), given.whole("restart count in the quote")
    given.assume("a TPM that was cleared was seen to go back", cleared == 0)
    if cleared != 0:
        _cleared(given, sync, quote, quote_clock, drift)
    elif resets[0] == resets[1] and restarts[0] == restarts[1]:
        keeps_rate(given, quote - sync, quote_clock - sync_clock, drift)
    point = SyncPoint(
        digest=b"",
        handle=_HANDLE,
        clock_ms=reading(given, "sync", sync_clock),
        reset_count=resets[0],
        restart_count=restarts[0],
        stamped_before_us=token,
    )
    state = _state(
        point,
        clock_ms=reading(given, "quote", quote_clock),
        reset_count=resets[1],
        restart_count=restarts[1],
        received_us=given.whole("received, us"),
    )
    _made(given, state, drift, quote)
    _made(given, replace(state, sync=replace(point, stamped_before_us=None)), drift, quote)


def after_tpm2_clear_it_is_still_true(given: Values) -> None:
    """As (2) and (4), in a verifier that saw the TPM go back. No token bounds the quote, whatever it says."""
    drift = drift_bound(given)
    sync, sync_clock, token = _sync(given)
    quote, quote_clock = given.real("quote made, us"), given.real("exact clock in the quote, us")
    given.limit(sync_clock >= 0)
    _cleared(given, sync, quote, quote_clock, drift)
    point = SyncPoint(
        digest=b"",
        handle=_HANDLE,
        clock_ms=reading(given, "sync", sync_clock),
        reset_count=0,
        restart_count=0,
        stamped_before_us=token,
    )
    state = _state(
        point,
        clock_ms=reading(given, "quote", quote_clock),
        reset_count=0,
        restart_count=0,
        received_us=given.whole("received, us"),
        went_back=True,
    )
    _made(given, state, drift, quote)
