"""What a state says of a PCR and of its last push, and what it says where nothing is known."""

from dataclasses import replace

import pytest

from schemas.hashes import SHA256, SHA384
from schemas.replay.log_replay import ReplayState
from schemas.tpm.pcr import PcrValues
from tests.worlds.step_bench import Bench
from verifier_worker.core.clock_record import ClockRecord
from verifier_worker.core.lasting import Lasting
from verifier_worker.core.state import AttesterState, Measured, Verdict

LOGGED, SENT = b"\1" * 32, b"\2" * 32


@pytest.fixture
def state() -> AttesterState:
    bench = Bench()
    bench.take(bench.device.push())
    assert bench.state is not None
    replay = ReplayState(banks=(SHA256,), registers={SHA256: {4: LOGGED}}, startup_locality=3)
    return replace(bench.state, replay=replay, unlogged=PcrValues({SHA256: {4: SENT, 8: SENT}}))


def test_a_pcr_holds_what_the_logs_explain_else_what_was_sent_else_what_it_starts_with(state: AttesterState) -> None:
    assert state.value(SHA256, 4) == LOGGED
    assert state.value(SHA256, 8) == SENT
    assert state.value(SHA256, 9) == bytes(32)
    assert state.value(SHA256, 0) == bytes(31) + b"\3"
    assert state.value(SHA256, 17) == b"\xff" * 32
    assert state.value(SHA384, 4) == bytes(48)


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("chained", [False, True])
def test_the_last_push_settled_the_state_if_it_was_applied_and_reproduced_its_quote(
    state: AttesterState, settled: bool, chained: bool
) -> None:
    given = replace(state, settled=settled, chained=state.evidence if chained else b"another")
    assert given.is_settled_by_last_push is (settled and chained)


def test_of_what_is_not_known_a_state_says_nothing(state: AttesterState) -> None:
    bare = AttesterState(
        environment=b"",
        reset_count=0,
        restart_count=0,
        clock_ms=0,
        sequence=0,
        evidence=b"",
        envelope=b"",
        chained=None,
        sync=replace(state.sync),
        replay=state.replay,
        settled=False,
        selection=state.selection,
        unlogged=PcrValues({}),
        received_us=0,
    )
    assert (bare.tails, bare.claims, bare.transitions) == ({}, {}, ())
    assert (bare.measured, bare.lasting, bare.verdict, bare.clock) == (Measured(), Lasting(), Verdict(), ClockRecord())
    for name in ("unsettled_us", "appraised", "received_after", "made_after_us", "made_before_us", "deadline_us"):
        assert getattr(bare, name) is None
    for name in ("handle_time_us", "rejections", "earlier"):
        assert getattr(bare, name) is None
    assert bare.clock_safe
    assert (bare.went_back, bare.firmware_version) == (False, 0)
    assert bare == replace(bare, appraised=object())  # type: ignore[arg-type]  # kept for speed, no part of the state
