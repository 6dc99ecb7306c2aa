"""The agent's loop with everything around it faked: handles, solicits, heartbeats, the broker's comings and goings."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from attester_agent.adapters.inbox import WAITING_EVENTS, Acknowledged, Connected, Inbox
from attester_agent.agent import IN_FLIGHT_MESSAGES, PUBLISH_AGAIN_S
from runtime import clock
from runtime.service import Stop
from schemas.errors import WorldError
from schemas.reasons import Reason
from schemas.topics import Role
from tests.fakes.attester import HandleMint, state_of
from tests.worlds.agent import T_US, TOPICS, Clock, Rig, S, received


@pytest.fixture(scope="module")
def mint() -> HandleMint:
    return HandleMint()


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moving = Clock()
    monkeypatch.setattr(clock, "monotonic_s", moving.monotonic_s)
    monkeypatch.setattr(clock, "utc_us", moving.utc_us)
    return moving


@pytest.fixture
def rig(mint: HandleMint, time: Clock) -> Rig:
    return Rig(mint, time)


def test_without_a_handle_nothing_is_pushed(rig: Rig) -> None:
    rig.turn()
    rig.turn(after_s=100)
    assert rig.tpm.quotes == 0
    rig.turn(rig.handle())
    assert rig.sequences == [0]


def test_a_new_handle_a_heartbeat_and_a_grown_log_each_bring_a_push(rig: Rig) -> None:
    rig.turn(rig.handle())
    rig.turn(after_s=29)
    assert rig.sequences == [0]
    rig.turn(after_s=1)
    assert rig.sequences == [0, 1]
    rig.turn(rig.handle())
    assert rig.sequences == [0, 1, 2]
    rig.measure()
    rig.turn(after_s=1)
    assert rig.sequences == [0, 1, 2, 3]
    rig.turn(after_s=1)
    assert rig.sequences == [0, 1, 2, 3]


def test_several_handles_at_once_bring_one_push_bound_to_the_newest(rig: Rig) -> None:
    events = [rig.handle() for _ in range(4)]
    rig.turn(*events)
    assert rig.sequences == [0]
    assert rig.tpm.syncs == 1
    assert rig.agent.state.handle is not None
    assert rig.agent.state.handle.time_us == T_US + 3 * S


@pytest.mark.parametrize("payload", [b"", b"\x00" * 1000, b"\x82\x60\x40", bytes(300_000)])
def test_nonsense_on_any_topic_changes_nothing(rig: Rig, payload: bytes) -> None:
    for topic in (TOPICS.handles("d"), TOPICS.solicit(rig.agent.state.ueid), "other/topic"):
        rig.turn(received(topic, payload))
    assert (rig.tpm.quotes, rig.agent.state) == (0, state_of(rig.tpm))


def test_a_replayed_or_strangers_handle_is_not_bound_to(rig: Rig) -> None:
    old = rig.handle()
    rig.turn(rig.handle())
    stranger = received(TOPICS.handles("distributor-1"), HandleMint().payload(T_US + 50 * S))
    rig.turn(old, stranger)
    assert rig.sequences == [0]
    assert rig.agent.state.handle is not None
    assert rig.agent.state.handle.time_us == T_US + S


def test_the_chain_is_whole_after_the_broker_was_away(rig: Rig) -> None:
    rig.broker.is_connected = False
    rig.turn(rig.handle())
    for _ in range(3):
        rig.turn(after_s=30)
    assert rig.spool.queued_messages == 4
    rig.broker.is_connected = True
    rig.turn(Connected())
    assert rig.sequences == [0, 1, 2, 3]
    published = rig.broker.evidence
    assert [later.body.previous for later in published[1:]] == [each.body_digest for each in published[:-1]]
    assert rig.broker.published[0] == (
        TOPICS.status(Role.ATTESTER, TOPICS.last_level(rig.broker.published[1][0])),
        b"here",
    )


def test_only_what_the_broker_has_leaves_the_spool(rig: Rig) -> None:
    rig.turn(rig.handle())
    rig.turn(rig.handle())
    assert rig.spool.queued_messages == 2
    rig.turn(Acknowledged(1), Acknowledged(77))
    assert [each.payload for each in rig.spool.waiting(0, 9)] == [rig.broker.published[1][1]]


def test_a_restarted_agent_publishes_again_what_was_not_acknowledged_and_goes_on(rig: Rig) -> None:
    rig.turn(rig.handle())
    rig.turn(rig.handle())
    rig.turn(Acknowledged(1))
    rig.restart()
    rig.turn()
    assert rig.sequences == [0, 1, 1, 2]  # push 1 again, the same bytes; then the next of the same chain
    evidence = rig.broker.evidence
    assert evidence[1] == evidence[2]
    assert evidence[3].body.previous == evidence[2].body_digest


def test_few_messages_are_in_flight_at_once(rig: Rig) -> None:
    rig.broker.is_connected = False
    for _ in range(IN_FLIGHT_MESSAGES + 5):
        rig.turn(rig.handle())
    rig.broker.is_connected = True
    rig.turn()
    assert len(rig.sequences) == IN_FLIGHT_MESSAGES
    rig.turn(Acknowledged(1), Acknowledged(2))
    assert rig.sequences == list(range(IN_FLIGHT_MESSAGES + 2))


def test_a_push_that_the_broker_never_acknowledges_is_published_again(rig: Rig) -> None:
    rig.turn(rig.handle())
    rig.turn(after_s=PUBLISH_AGAIN_S / 2)
    rig.turn(Connected())  # time starts again with a connection
    rig.turn(after_s=PUBLISH_AGAIN_S - 1)
    assert rig.sequences.count(0) == 1
    rig.turn(after_s=2)
    assert rig.sequences.count(0) == 2


def test_an_overflow_drops_everything_and_the_next_push_is_a_baseline(rig: Rig) -> None:
    rig.measure(5)
    rig.spool.max_bytes = 4000
    rig.broker.is_connected = False
    rig.turn(rig.handle())
    for _ in range(12):
        rig.turn(after_s=30)
    rig.broker.is_connected = True
    rig.turn()
    first = rig.broker.evidence[0]
    assert first.body.previous is None
    assert first.body.logs == {"ima": 0}
    assert first.body.sequence > 0
    assert rig.sequences == sorted(set(rig.sequences))


def test_a_solicit_brings_a_push_with_a_new_sync_and_what_it_asks_for(rig: Rig) -> None:
    rig.measure(5)
    rig.turn(rig.handle())
    rig.turn(rig.solicit(logs={"ima": 2}))
    rig.turn(rig.solicit(full=True, logs={"ima": 1}))
    first, second, third = rig.broker.evidence
    assert (second.body.previous, second.body.logs) == (first.body_digest, {"ima": 2})
    assert (third.body.previous, third.body.logs) == (None, {"ima": 1})
    assert third.body.claims == {"os": "x"}
    assert rig.tpm.syncs == 3


def test_a_solicit_works_once_even_after_a_restart(rig: Rig) -> None:
    rig.turn(rig.handle())
    asked = rig.solicit(full=True)
    rig.turn(asked)
    rig.turn(asked)
    assert rig.sequences == [0, 1]
    rig.restart()
    rig.turn(asked)
    assert [each.body.previous is None for each in rig.broker.evidence] == [True, True, True, True, False]


def test_solicits_are_limited(mint: HandleMint, time: Clock) -> None:
    rig = Rig(mint, time, solicit_burst=2, solicits_per_minute=1.0)
    rig.turn(rig.handle())
    for _ in range(4):
        rig.turn(rig.solicit())
    assert rig.sequences == [0, 1, 2]


def test_a_strangers_solicit_is_ignored(rig: Rig) -> None:
    rig.turn(rig.handle())
    rig.verifier = generate_private_key(SECP256R1())
    rig.turn(rig.solicit(full=True))
    assert rig.sequences == [0]


def test_a_long_log_goes_out_at_once_in_parts(mint: HandleMint, time: Clock) -> None:
    rig = Rig(mint, time, max_evidence_bytes=4096)
    rig.measure(120)
    rig.turn(rig.handle())
    for _ in range(20):
        rig.turn()
    arrived = b"".join(each.unsigned_increments["ima"].records for each in rig.broker.evidence)
    assert arrived == b"".join(rig.ima.records)
    assert len(rig.sequences) > 2


def test_entries_beyond_the_quote_do_not_wait_for_the_heartbeat(rig: Rig) -> None:
    rig.measure()
    rig.tpm.before_read = lambda: rig.measure() if len(rig.ima.records) < 2 else None
    rig.turn(rig.handle())
    rig.turn(after_s=1)
    assert [each.body.logs["ima"] for each in rig.broker.evidence] == [0, 1]


@pytest.mark.parametrize("reason", [Reason.TPM_BUSY, Reason.TPM_UNREACHABLE, Reason.TPM_LOCKED_OUT, Reason.TPM_FATAL])
def test_a_failing_tpm_is_tried_again_with_growing_pauses(rig: Rig, reason: Reason) -> None:
    rig.tpm.failures = [WorldError(reason, "no") for _ in range(3)]
    rig.turn(rig.handle())
    rig.turn(after_s=0.4)
    assert len(rig.tpm.failures) == 2
    for _ in range(8):
        rig.turn(after_s=1)
    assert rig.sequences == [0]


def test_a_push_that_cannot_be_stored_is_not_published_and_made_again(rig: Rig) -> None:
    rig.turn(rig.handle())
    rig.measure(3)
    rig.spool.failures = [WorldError(Reason.STORE_UNAVAILABLE, "disk full")]
    rig.turn(after_s=30)
    assert rig.sequences == [0]
    rig.turn(after_s=2)
    assert rig.sequences == [0, 1]
    assert rig.broker.evidence[1].body.logs == {"ima": 0}
    assert rig.broker.evidence[1].unsigned_increments["ima"].total == 3


def test_a_replaced_log_brings_a_baseline(rig: Rig) -> None:
    rig.measure(3)
    rig.turn(rig.handle())
    rig.ima.replaced = True
    rig.turn(after_s=30)
    rig.turn()
    assert [each.body.previous is None for each in rig.broker.evidence] == [True, True]
    assert rig.broker.evidence[1].body.logs == {"ima": 0}


def test_the_loop_stops_when_asked(rig: Rig) -> None:
    stop = Stop()
    stop.request()
    rig.agent.run(Inbox(), stop)
    assert rig.tpm.quotes == 0


def test_the_inbox_is_bounded_but_keeps_acknowledgements(rig: Rig) -> None:
    inbox = Inbox()
    message = rig.handle().message
    for _ in range(WAITING_EVENTS + 10):
        inbox.message(message)
    inbox.acknowledged(1)
    inbox.connected()
    events = inbox.wait(0)
    assert len(events) == WAITING_EVENTS + 2
    assert inbox.wait(0) == []


def test_a_forked_chain_is_told_of_and_bound_to_all_the_same(time: Clock, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(HandleMint(), Clock())
    rig.turn(rig.handle(T_US))
    parent = rig.mint.previous
    rig.turn(rig.handle(T_US + 10 * S))
    rig.mint.previous = parent  # the key is used by two
    with caplog.at_level("WARNING"):
        rig.turn(rig.handle(T_US + 20 * S))
    assert Reason.HANDLE_CHAIN_FORKED in caplog.text
    assert rig.agent.state.handle is not None
    assert rig.agent.state.handle.time_us == T_US + 20 * S
