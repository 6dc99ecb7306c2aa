"""One handle an hour or a day, evidence every few seconds: one sync proof serves all pushes, and nothing grows."""

from pathlib import Path

import pytest

from handle_distributor import bell_schedule
from handle_distributor.bell_schedule import BellSchedule
from handle_distributor.settings import Settings, TsaSettings
from runtime import clock
from runtime.service import Stop
from schemas.errors import ConfigError
from schemas.messages.handle import MAX_LIFETIME_S
from tests.fakes.attester import HandleMint
from tests.worlds.agent import T_US, TOPICS, Clock, Rig, S, received

DAY_S = 86_400


def test_a_day_of_pushes_with_one_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    moving = Clock()
    monkeypatch.setattr(clock, "monotonic_s", moving.monotonic_s)
    monkeypatch.setattr(clock, "utc_us", moving.utc_us)
    rig = Rig(HandleMint(), moving, heartbeat_s=60.0)
    handles = [
        received(TOPICS.handles("distributor-1"), rig.mint.payload(T_US + day * DAY_S * S, lifetime_s=2 * DAY_S))
        for day in range(2)
    ]
    rig.turn(handles[0])
    rig.heartbeats(60, every_s=5)
    assert rig.spool.raw_state is not None
    size = len(rig.spool.raw_state)
    rig.heartbeats(DAY_S // 60, every_s=60)
    assert (len({evidence.body.sync for evidence in rig.broker.evidence}), rig.tpm.syncs) == (1, 1)
    assert rig.spool.queued_messages == 0
    assert len(rig.spool.raw_state) - size < 8  # a number may take more bytes than a smaller one
    assert rig.sequences == list(range(len(rig.sequences)))
    pushes = len(rig.sequences)
    assert pushes > DAY_S // 60
    rig.turn(handles[1])
    assert (rig.sequences[-1], rig.tpm.syncs) == (pushes, 2)


def settings(interval_s: float, lifetime_s: int) -> Settings:
    return Settings(
        name="main",
        signing_key=Path("key"),
        state_file=Path("state"),
        tsa=TsaSettings(urls=("http://tsa/",), roots=(Path("root"),)),
        interval_s=interval_s,
        lifetime_s=lifetime_s,
    )


def test_a_distributor_may_make_a_handle_an_hour_a_day_or_a_month() -> None:
    assert settings(3600, 2 * 3600).interval_s == 3600
    assert settings(DAY_S, 3 * DAY_S).lifetime_s == 3 * DAY_S
    assert settings(MAX_LIFETIME_S - 1, MAX_LIFETIME_S).lifetime_s == MAX_LIFETIME_S
    with pytest.raises(ConfigError, match="lifetime_s"):
        settings(DAY_S, MAX_LIFETIME_S + 1)


def test_a_failed_round_is_tried_again_in_minutes_though_handles_are_a_day_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The wall clock stands still, so every round but the first is one that the watcher asked for."""
    monkeypatch.setattr(bell_schedule, "_FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(bell_schedule, "_LAST_RETRY_S", 0.02)
    monkeypatch.setattr(bell_schedule, "_WATCH_S", 0.01)
    stop, rings = Stop(), []

    def ring() -> bool:
        rings.append(clock.monotonic_s())
        if len(rings) == 12:
            stop.request()
        return False

    BellSchedule(ring, interval_s=DAY_S).run(stop)
    assert len(rings) == 12  # doubling without an end, the twelfth would come after 20 s
    assert rings[-1] - rings[0] < 10
