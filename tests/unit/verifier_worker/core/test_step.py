"""``step``, ``overdue``, ``refuse``: the fields that a push moves, reasons to start over, and what is asked for."""

from dataclasses import replace

import pytest

from schemas.boot_log.facts import BootFacts
from schemas.codecs.tst_info import TstInfo
from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.messages.evidence import (
    VANISHED,
    Evidence,
    LogIncrement,
    encode_evidence,
    parse_evidence,
)
from schemas.messages.result import Rejections
from schemas.reasons import Reason
from schemas.reasons.table import REASONS
from schemas.tpm.pcr import parse_selection_text
from schemas.transitions import TransitionKind
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.builders.log_bytes import ima_ng
from tests.worlds.device import FakeDevice, make_handle, make_references, make_trust
from tests.worlds.step_bench import RECEIVED_US, Bench, CelBench
from verifier_worker.core.finding import Finding
from verifier_worker.core.policy.policy_file import LogsTable
from verifier_worker.core.state import AttesterState
from verifier_worker.core.step import SolicitRequest, Step, overdue, refuse
from verifier_worker.core.trust import Trust

SECOND_US = 1_000_000
FROM_START = {"tcg2": 0, "ima": 0}


@pytest.fixture
def bench() -> Bench:
    """After an accepted baseline."""
    made = Bench()
    made.take(made.device.push())
    return made


def state_of(bench: Bench) -> AttesterState:
    assert bench.state is not None
    return bench.state


def findings_of(taken: Step) -> set[Reason]:
    return {finding.reason for finding in taken.findings}


def refusal_of(taken: Step) -> Reason | None:
    return taken.refused.reason if taken.refused is not None else None


def settle(bench: Bench, taken: Step) -> None:
    """The device answers what was asked of it, and is affirmed."""
    assert taken.solicit is not None
    bench.take(bench.device.push(full=True, resend=taken.solicit.logs))
    assert bench.verdict()[0] is Tier.AFFIRMING


# -- what a push moves -------------------------------------------------------------------------------------------------


def assert_is_of(state: AttesterState, evidence: Evidence, device: FakeDevice, received_us: int) -> None:
    """The state names this push as the last accepted one."""
    evidence = parse_evidence(encode_evidence(evidence))
    assert state.environment == device.public.name
    assert (state.reset_count, state.restart_count) == (device.reset_count, device.restart_count)
    assert (state.clock_ms, state.clock_safe) == (device.clock_ms, device.safe)
    assert state.firmware_version == device.firmware_version
    assert state.sequence == evidence.body.sequence
    assert (state.evidence, state.envelope) == (evidence.body_digest, evidence.envelope)
    assert state.selection == device.selection
    assert state.transitions == evidence.body.transitions
    assert (state.received_us, state.deadline_us) == (received_us, received_us + 10 * SECOND_US)


def changed_device(bench: Bench) -> FakeDevice:
    """The device after everything that a quote shows has changed, but for a reset."""
    newer = make_handle(1, time_us=bench.handle.time_us + SECOND_US)
    bench.trust = replace(bench.trust, handles={each.id: each for each in (bench.handle, newer)}, newest=newer.id)
    device = bench.device
    device.restart_count, device.safe, device.firmware_version = device.restart_count + 1, False, 77
    device.tell(TransitionKind.SUSPEND)
    device.sync(newer)
    return device


def test_the_first_push_makes_a_state_of_itself() -> None:
    bench = Bench()
    device = changed_device(bench)
    push = device.push()
    bench.take(push)
    state = state_of(bench)
    assert_is_of(state, push, device, RECEIVED_US)
    assert state.chained == push.body_digest
    assert state.settled
    assert state.received_after == bench.trust.newest == state.sync.handle
    assert not state.went_back
    assert state.rejections is None
    assert state.tails == {}


def test_the_next_push_moves_all_of_it(bench: Bench) -> None:
    device = changed_device(bench)
    push = device.push()
    bench.take(push)
    state = state_of(bench)
    assert_is_of(state, push, device, RECEIVED_US + SECOND_US)
    assert state.chained == push.body_digest
    assert state.received_after == bench.trust.newest == state.sync.handle


def test_a_push_after_a_gap_moves_all_but_what_its_logs_would(bench: Bench) -> None:
    before = state_of(bench)
    device = changed_device(bench)
    device.push()  # lost
    push = device.push()
    bench.take(push)
    state = state_of(bench)
    assert_is_of(state, push, device, RECEIVED_US + SECOND_US)
    assert state.received_after == bench.trust.newest == state.sync.handle
    assert (state.chained, state.replay, state.measured.label) == (before.chained, before.replay, before.measured.label)
    assert state.claims == before.claims


def test_a_reboot_keeps_what_is_known_of_the_clock_and_of_refusals(bench: Bench) -> None:
    before = state_of(bench)
    bench.state = replace(
        before, rejections=Rejections(count=7, last=Reason.MALFORMED, last_us=1), handle_time_us=2**51
    )
    bench.state = replace(bench.state, clock=replace(before.clock, suspect=Reason.CLOCK_TOO_FAST))
    bench.device.reboot()
    bench.device.sync(bench.handle)
    push = bench.device.push()
    bench.take(push)
    state = state_of(bench)
    assert_is_of(state, push, bench.device, RECEIVED_US + SECOND_US)
    assert state.rejections == Rejections(count=7, last=Reason.MALFORMED, last_us=1)
    assert state.handle_time_us == 2**51
    assert state.clock.suspect is Reason.CLOCK_TOO_FAST
    assert not state.went_back


def test_another_key_starts_with_nothing(bench: Bench) -> None:
    bench.state = replace(state_of(bench), went_back=True, handle_time_us=2**51)
    other = FakeDevice()
    other.sync(bench.handle)
    bench.trust = make_trust(other, handles=(bench.handle,), policy=bench.policy)
    bench.device = other
    taken = bench.take(other.push())
    assert taken.refused is None
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert not state_of(bench).went_back
    assert state_of(bench).handle_time_us == bench.handle.time_us


def test_once_back_the_counters_are_never_trusted_again(bench: Bench) -> None:
    for number in (1, 2):
        handle = make_handle(number, time_us=bench.handle.time_us + number * SECOND_US)
        bench.trust = replace(bench.trust, handles={**bench.trust.handles, handle.id: handle})
        bench.device.reboot()
        if number == 1:
            bench.device.reset_count = 0
        bench.device.sync(handle)
        bench.take(bench.device.push())
        assert state_of(bench).went_back


def test_what_is_not_said_of_a_step_is_nothing() -> None:
    assert SolicitRequest(reason=Reason.LOG_GAP).logs == {}
    taken = Step(state=None)
    assert (taken.findings, taken.refused, taken.duplicate, taken.solicit) == ((), None, False, None)


def test_a_duplicate_changes_nothing(bench: Bench) -> None:
    push = bench.device.push()
    bench.take(push)
    before = bench.state
    taken = bench.take(push)
    assert taken == Step(state=before, duplicate=True)


# -- PCR values without a log ------------------------------------------------------------------------------------------


def with_values(push: Evidence, values: dict[int, bytes]) -> Evidence:
    return replace(push, unsigned_pcrs={SHA256: values})


def test_a_changed_pcr_that_no_log_explains_is_judged_at_once(bench: Bench) -> None:
    """A heartbeat brings no entries, and still this PCR has a value that nobody approved."""
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())
    bench.device.extend(8, b"\x99" * 32)
    taken = bench.take(with_values(bench.device.push(), {8: bench.device.pcrs[8]}))
    assert taken.refused is None
    assert bench.verdict()[0] is Tier.CONTRAINDICATED
    assert Reason.PCR_UNEXPECTED in bench.verdict()[1]


def test_values_add_up_over_deltas_and_a_full_push_replaces_them(bench: Bench) -> None:
    device = bench.device
    device.extend(8, b"\x01" * 32)
    bench.take(with_values(device.push(), {8: device.pcrs[8]}))
    assert dict(state_of(bench).unlogged.bank(SHA256)) == {8: device.pcrs[8], 9: bytes(32)}
    bench.take(device.push())
    assert dict(state_of(bench).unlogged.bank(SHA256)) == {8: device.pcrs[8], 9: bytes(32)}
    bench.take(with_values(device.push(full=True), {8: device.pcrs[8]}))
    assert dict(state_of(bench).unlogged.bank(SHA256)) == {8: device.pcrs[8]}


# -- what is judged again ----------------------------------------------------------------------------------------------


def test_a_heartbeat_judges_no_measurement_again(bench: Bench) -> None:
    first = state_of(bench).appraised
    bench.take(bench.device.push())
    assert first is not None
    assert state_of(bench).appraised is first


def test_measurements_are_judged_again_when_entries_came(bench: Bench) -> None:
    first = state_of(bench).appraised
    bench.device.run(b"/usr/bin/true", b"true")
    bench.take(bench.device.push())
    assert state_of(bench).appraised is not first


def test_a_promise_of_more_does_not_keep_measurements_from_being_judged(bench: Bench) -> None:
    bench.device.run(b"/tmp/unknown", b"unknown")
    push = bench.device.push()
    promised = LogIncrement(records=push.unsigned_increments["ima"].records, total=99)
    bench.take(replace(push, unsigned_increments={"ima": promised}))
    assert state_of(bench).settled
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})


def test_what_was_found_lasts_while_entries_are_on_their_way(bench: Bench) -> None:
    bench.device.run(b"/tmp/unknown", b"unknown")
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.CONTRAINDICATED
    bench.device.run(b"/usr/bin/true", b"true")
    nothing = LogIncrement(records=b"", total=99)
    bench.take(replace(bench.device.push(limits={"ima": 0}), unsigned_increments={"ima": nothing}))
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED, Reason.LOG_INCOMPLETE})


def test_claims_are_vouched_for_only_by_a_quote_that_the_logs_reproduce(bench: Bench) -> None:
    """Also where the PCR of a log goes back, as one that can be reset may, to what an earlier quote showed."""
    measured = replace(state_of(bench).measured, boot=BootFacts(version="1.2"))
    bench.state = replace(state_of(bench), measured=measured, appraised=None)
    claims, value = [], bench.device.pcrs[10]
    for held in (False, True, False):
        bench.take(withheld(bench) if held else bench.device.push(limits={"ima": 0}))
        claims.append(state_of(bench).verdict.verified_claims)
        bench.device.pcrs[10] = value
    assert claims == [{"firmware-version": "1.2"}, {}, {"firmware-version": "1.2"}]


# -- what somebody on the way put in -----------------------------------------------------------------------------------


def test_entries_that_the_attester_never_sent_are_all_dropped(bench: Bench) -> None:
    """Somebody puts entries in and promises more: no quote has to show them. The next true push begins before them."""
    bench.device.run(b"/usr/bin/cat", b"cat")
    push = bench.device.push()
    forged = LogIncrement(records=ima_ng(b"/bogus", b"bogus") * 2, total=9)
    bench.take(replace(push, unsigned_increments={"ima": forged}))
    assert state_of(bench).replay.next_index == {"tcg2": 9, "ima": 3}
    before = remembering(bench)
    device = changed_device(bench)
    bench.device.run(b"/usr/bin/true", b"true")
    push = bench.device.push()
    taken = bench.take(push)
    assert taken.refused is None
    decided = [each.reason for each in taken.findings if REASONS[each.reason].effect is not None]
    assert decided == [Reason.BASELINE_REQUIRED, Reason.LOG_INCOMPLETE]
    assert taken.solicit == SolicitRequest(reason=Reason.BASELINE_REQUIRED, logs=FROM_START)
    assert_emptied(bench, before, push, device)
    settle(bench, taken)


def remembering(bench: Bench) -> AttesterState:
    """The state with something in it that no emptying may take away."""
    refused = Rejections(count=3, last=Reason.MALFORMED, last_us=1)
    bench.state = replace(state_of(bench), rejections=refused, handle_time_us=2**51 - 1)
    return bench.state


def assert_emptied(bench: Bench, before: AttesterState, push: Evidence, device: FakeDevice) -> None:
    """Nothing of the logs is left; all that the signatures prove is kept."""
    state = state_of(bench)
    assert state.replay.next_index == {}
    assert (state.chained, state.settled, state.measured.unexpected_total) == (None, False, 0)
    assert state.measured.label == before.measured.label
    assert (state.rejections, state.went_back) == (before.rejections, before.went_back)
    assert state.handle_time_us == before.handle_time_us
    assert state.received_after == bench.trust.newest
    assert_is_of(state, push, device, bench.now_us - SECOND_US)


def test_a_baseline_ends_what_somebody_put_in_before_it(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/cat", b"cat")
    push = bench.device.push()
    forged = LogIncrement(records=ima_ng(b"/bogus", b"bogus"), total=9)
    bench.take(replace(push, unsigned_increments={"ima": forged}))
    assert bench.verdict() == (Tier.NONE, {Reason.LOG_INCOMPLETE})
    taken = bench.take(bench.device.push(full=True, resend=FROM_START))
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert taken.solicit is None


def test_a_full_push_repeats_entries_that_are_here_already(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/cat", b"cat")
    taken = bench.take(bench.device.push(full=True, resend={"tcg2": 0, "ima": 1}))
    assert taken.solicit is None
    assert bench.verdict() == (Tier.AFFIRMING, set())
    bench.take(bench.device.push(full=True, resend={"tcg2": 5, "ima": 0}))
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_after_entries_that_no_quote_settled_a_mismatch_drops_them_all() -> None:
    """The part that was changed on the way came earlier than this push, which is honest and is accepted."""
    bench = Bench()
    for _ in range(3):
        bench.device.run(b"/usr/bin/true", b"true")
    push = bench.device.push(limits={"ima": 3})
    forged = b"".join([*bench.device.ima_list[:2], ima_ng(b"/bogus", b"bogus")])
    increments = {**push.unsigned_increments, "ima": LogIncrement(records=forged, total=4)}
    bench.take(replace(push, unsigned_increments=increments))
    assert bench.verdict() == (Tier.NONE, {Reason.LOG_INCOMPLETE})
    before = remembering(bench)
    device = changed_device(bench)
    push = device.push()
    taken = bench.take(push)
    assert taken.refused is None
    decided = [each.reason for each in taken.findings if REASONS[each.reason].effect is not None]
    assert decided == [Reason.LOG_REPLAY_MISMATCH, Reason.LOG_INCOMPLETE]
    assert taken.solicit == SolicitRequest(reason=Reason.LOG_REPLAY_MISMATCH, logs=FROM_START)
    assert_emptied(bench, before, push, device)
    settle(bench, taken)


def test_a_mismatch_over_settled_entries_refuses_the_push_and_asks_for_everything(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/true", b"true")
    push = bench.device.push()
    forged = LogIncrement(records=ima_ng(b"/bogus", b"bogus"), total=2)
    before = state_of(bench)
    taken = bench.take(replace(push, unsigned_increments={"ima": forged}))
    assert refusal_of(taken) is Reason.LOG_REPLAY_MISMATCH
    assert taken.findings == ()
    assert taken.solicit == SolicitRequest(reason=Reason.LOG_REPLAY_MISMATCH, logs=FROM_START)
    rejected = Rejections(count=1, last=Reason.LOG_REPLAY_MISMATCH, last_us=RECEIVED_US + SECOND_US)
    assert taken.state == replace(before, rejections=rejected)


def test_a_first_push_that_does_not_reproduce_its_quote_is_refused() -> None:
    bench = Bench()
    push = bench.device.push()
    taken = bench.take(with_values(push, {8: b"\x01" * 32, 9: bytes(32)}))
    assert refusal_of(taken) is Reason.LOG_REPLAY_MISMATCH
    assert taken.state is None
    assert taken.solicit is None


def test_an_entry_that_does_not_parse_refuses_the_push_and_asks_for_everything(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/true", b"true")
    forged = LogIncrement(records=b"\x00", total=2)
    taken = bench.take(replace(bench.device.push(), unsigned_increments={"ima": forged}))
    assert refusal_of(taken) is Reason.LOG_MALFORMED
    assert taken.solicit == SolicitRequest(reason=Reason.LOG_MALFORMED, logs=FROM_START | {"tcg2": 0})


def test_a_replay_is_refused_and_nothing_is_asked(bench: Bench) -> None:
    old = bench.device.push()
    bench.take(old)
    bench.take(bench.device.push())
    taken = bench.take(old)
    assert refusal_of(taken) is Reason.EVIDENCE_REPLAYED
    assert taken.solicit is None


# -- the same body again -----------------------------------------------------------------------------------------------


def promising(push: Evidence, *, records: bytes = b"") -> Evidence:
    """The push with an increment of which there is more to come."""
    return replace(push, unsigned_increments={"ima": LogIncrement(records=records, total=99)})


def test_a_body_that_settled_is_a_duplicate_whatever_comes_beside_it(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/cat", b"cat")
    push = bench.device.push()
    bench.take(push)
    before = bench.state
    taken = bench.take(promising(push))
    assert taken == Step(state=before, duplicate=True)


def test_the_very_same_bytes_are_a_duplicate_though_nothing_settled_them(bench: Bench) -> None:
    push = withheld(bench)
    bench.take(push)
    before = bench.state
    assert bench.take(push) == Step(state=before, duplicate=True)


def test_a_body_that_did_not_settle_is_judged_again_from_before_it(bench: Bench) -> None:
    before = remembering(bench)
    bench.device.run(b"/usr/bin/cat", b"cat")
    push = bench.device.push()
    bench.take(promising(push, records=ima_ng(b"/bogus", b"bogus")))
    unsettled = state_of(bench)
    assert unsettled.earlier == before
    bench.state = refuse(unsettled, Reason.MALFORMED, 7)
    taken = bench.take(push)
    assert (taken.refused, taken.solicit) == (None, None)
    assert bench.verdict() == (Tier.AFFIRMING, set())
    state = state_of(bench)
    assert state.replay.next_index == {"tcg2": 9, "ima": 2}
    assert state.earlier is None
    assert state.rejections == Rejections(count=4, last=Reason.MALFORMED, last_us=7)


def test_the_first_push_of_all_may_come_again_too() -> None:
    bench = Bench()
    push = bench.device.push()
    tcg2 = push.unsigned_increments["tcg2"]
    changed = {"tcg2": tcg2, "ima": LogIncrement(records=ima_ng(b"/bogus", b"bogus"), total=99)}
    bench.take(replace(push, unsigned_increments=changed))
    assert bench.verdict() == (Tier.NONE, {Reason.LOG_INCOMPLETE})
    assert state_of(bench).earlier is None
    bench.take(push)
    assert bench.verdict() == (Tier.AFFIRMING, set())


def withheld(bench: Bench) -> Evidence:
    """A push of a device that has run a file and promises the entry for later."""
    bench.device.run(b"/usr/bin/cat", b"cat")
    return promising(bench.device.push(limits={"ima": 0}))


def test_only_one_earlier_state_is_kept_until_a_push_settles(bench: Bench) -> None:
    before = state_of(bench)
    bench.take(withheld(bench))
    first = state_of(bench)
    assert first.earlier == before
    bench.take(withheld(bench))
    assert state_of(bench).earlier == replace(first, earlier=None)
    bench.take(bench.device.push())
    assert state_of(bench).earlier is None
    bench.take(bench.device.push())
    assert state_of(bench).earlier is None


# -- a log that takes long ---------------------------------------------------------------------------------------------


def test_the_first_push_that_did_not_settle_is_remembered_until_one_does(bench: Bench) -> None:
    assert state_of(bench).unsettled_us is None
    first_us = bench.now_us
    bench.take(withheld(bench))
    assert state_of(bench).unsettled_us == first_us
    bench.take(withheld(bench))
    assert state_of(bench).unsettled_us == first_us
    bench.take(bench.device.push())
    assert state_of(bench).unsettled_us is None


@pytest.mark.parametrize("late_us", [0, 1])
def test_a_log_has_ten_minutes_to_arrive_and_then_all_of_it_is_asked_for(bench: Bench, late_us: int) -> None:
    before = remembering(bench)
    first_us = bench.now_us
    bench.take(withheld(bench))
    bench.now_us = first_us + 600 * SECOND_US + late_us
    device = changed_device(bench)
    push = withheld(bench)
    taken = bench.take(push)
    assert taken.refused is None
    assert bench.verdict()[0] is Tier.NONE
    assert Reason.LOG_INCOMPLETE in bench.verdict()[1]
    if late_us:
        assert taken.solicit == SolicitRequest(reason=Reason.LOG_INCOMPLETE, logs=FROM_START)
        assert_emptied(bench, before, push, device)
        assert state_of(bench).unsettled_us is None
    else:
        assert taken.solicit is None
        assert state_of(bench).replay.next_index == before.replay.next_index


# -- what is asked for -------------------------------------------------------------------------------------------------


def test_after_a_gap_the_entries_from_where_the_replay_stands_are_asked_for(bench: Bench) -> None:
    bench.device.cel_logs["cel/app"] = []
    bench.device.push()  # lost
    taken = bench.take(bench.device.push())
    wanted = {"tcg2": 9, "ima": 1, "cel/app": 0}
    assert taken.solicit == SolicitRequest(reason=Reason.SEQUENCE_GAP, logs=wanted)


def test_entries_that_are_missing_are_named(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/cat", b"cat")
    bench.device.run(b"/usr/bin/true", b"true")
    taken = bench.take(bench.device.push(resend={"ima": 2}))
    assert taken.findings[0] == Finding(reason=Reason.LOG_GAP, detail="ima")
    assert taken.solicit == SolicitRequest(reason=Reason.LOG_GAP, logs={"tcg2": 9, "ima": 1})


def test_a_full_push_that_starts_too_late_needs_a_baseline() -> None:
    bench = Bench()
    taken = bench.take(bench.device.push(full=True, resend={"ima": 1}))
    assert taken.findings[0].reason is Reason.BASELINE_REQUIRED
    assert taken.solicit == SolicitRequest(reason=Reason.BASELINE_REQUIRED, logs=FROM_START)


def test_a_delta_of_an_unknown_attester_needs_a_baseline() -> None:
    bench = Bench()
    bench.device.push()
    taken = bench.take(bench.device.push())
    assert taken.findings[0].reason is Reason.BASELINE_REQUIRED
    assert taken.solicit == SolicitRequest(reason=Reason.BASELINE_REQUIRED, logs=FROM_START)


@pytest.mark.parametrize("lost", ["policy", "references", "registers"])
def test_without_anything_to_judge_by_entries_are_dropped_and_asked_for_once(lost: str) -> None:
    bench = Bench()
    bench.trust = without(bench.trust, lost)
    if lost == "registers":
        bench.device.selection = parse_selection_text("sha256:0-7,10")
    bench.device.push()
    asked = [bench.take(bench.device.push()).solicit for _ in range(2)]
    assert asked == [SolicitRequest(reason=Reason.BASELINE_REQUIRED, logs=FROM_START), None]
    assert bench.take(bench.device.push(full=True, resend=FROM_START)).solicit is None
    assert state_of(bench).replay.next_index == {}
    assert state_of(bench).chained is None


def test_while_reference_values_are_missing_no_delta_goes_on(bench: Bench) -> None:
    bench.trust = without(bench.trust, "references")
    assert bench.take(bench.device.push()).solicit is None
    assert state_of(bench).chained is None


def without(trust: Trust, lost: str) -> Trust:
    match lost:
        case "policy":
            return replace(trust, policy=None)
        case "references":
            return replace(trust, references=replace(trust.references, missing=("good",)))
        case _:
            return trust


def test_another_selection_starts_over_at_once(bench: Bench) -> None:
    """What was replayed for one selection says nothing about another; the entries of the old one must come again."""
    bench.device.selection = parse_selection_text("sha256:0-11")
    push = bench.device.push()
    taken = bench.take(push)
    assert taken.findings[0].reason is Reason.BASELINE_REQUIRED
    assert taken.solicit == SolicitRequest(reason=Reason.BASELINE_REQUIRED, logs=FROM_START)
    assert state_of(bench).selection == bench.device.selection
    settle(bench, taken)


def test_a_baseline_starts_over(bench: Bench) -> None:
    """Entries of before are measured again, not twice."""
    bench.device.run(b"/tmp/unknown", b"unknown")
    bench.take(bench.device.push())
    bench.take(bench.device.push(full=True, resend=FROM_START))
    assert state_of(bench).measured.unexpected_total == 1
    assert state_of(bench).replay.next_index == {"tcg2": 9, "ima": 2}


def test_other_reference_values_measure_everything_again_and_keep_the_claims(bench: Bench) -> None:
    bench.take(bench.device.push(claims={"extra": "1"}))
    other = make_references(bench.device, version=2)
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(other,))
    taken = bench.take(bench.device.push())
    assert taken.findings[0].reason is Reason.BASELINE_REQUIRED
    assert taken.solicit == SolicitRequest(reason=Reason.BASELINE_REQUIRED, logs=FROM_START)
    assert state_of(bench).claims == {"kernel": "6.1", "extra": "1"}
    assert state_of(bench).measured.label.endswith("good/2")
    settle(bench, taken)


def test_a_clock_that_is_newly_suspected_asks_for_a_full_push_once(bench: Bench) -> None:
    bench.take(bench.device.push())
    asked = []
    for number in (1, 2):
        handle = make_handle(number, time_us=bench.handle.time_us + number * 60 * SECOND_US)
        bench.trust = replace(bench.trust, handles={**bench.trust.handles, handle.id: handle})
        bench.now_us = handle.time_us + SECOND_US
        bench.device.set_clock(600_000)
        bench.device.clock_ms += 60_000
        bench.device.sync(handle)
        taken = bench.take(bench.device.push(elapsed_ms=1))
        assert Reason.CLOCK_SET in findings_of(taken)
        asked.append(taken.solicit)
    assert asked == [SolicitRequest(reason=Reason.CLOCK_SET, logs={"tcg2": 9, "ima": 1}), None]


def test_a_clock_that_is_suspected_no_more_asks_for_nothing(bench: Bench) -> None:
    handle = make_handle(1, time_us=bench.handle.time_us + 60 * SECOND_US)
    bench.trust = replace(bench.trust, handles={**bench.trust.handles, handle.id: handle})
    bench.now_us = handle.time_us + SECOND_US
    clock = replace(state_of(bench).clock, suspect=Reason.CLOCK_SET)
    bench.state = replace(state_of(bench), clock=clock)
    bench.device.clock_ms += 60_000
    bench.device.sync(handle)
    taken = bench.take(bench.device.push())
    assert state_of(bench).clock.suspect is None
    assert taken.solicit is None


def test_what_a_gap_asks_for_is_not_replaced_by_what_a_clock_asks_for(bench: Bench) -> None:
    handle = make_handle(1, time_us=bench.handle.time_us + 60 * SECOND_US)
    bench.trust = replace(bench.trust, handles={**bench.trust.handles, handle.id: handle})
    bench.now_us = handle.time_us + SECOND_US
    bench.device.push()  # lost
    bench.device.set_clock(600_000)
    bench.device.clock_ms += 60_000
    bench.device.sync(handle)
    taken = bench.take(bench.device.push())
    assert state_of(bench).clock.suspect is Reason.CLOCK_SET
    assert taken.solicit is not None
    assert taken.solicit.reason is Reason.SEQUENCE_GAP


def test_a_promised_log_that_the_quote_does_not_need_decides_nothing(bench: Bench) -> None:
    bench.device.cel_logs["cel/app"] = []
    nothing = LogIncrement(records=b"", total=1)
    push = replace(bench.device.push(), unsigned_increments={"cel/app": nothing})
    assert "cel/app" not in state_of(bench).replay.next_index
    bench.take(push)
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_a_device_without_logs_goes_on_by_deltas() -> None:
    """Every push of it names its logs from their beginning, and still is no baseline."""
    bench = Bench(policy_changes={"logs": LogsTable(), "pcrs": "sha256:1-10"})
    device = bench.device
    device.boot_log, device.ima_list = [], []
    device.pcrs = {index: bytes(32) for index in range(24)}
    device.selection = parse_selection_text("sha256:1-10")
    references = make_references(device, registers={SHA256: {index: frozenset({bytes(32)}) for index in range(1, 10)}})
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    device.sync(bench.handle)
    for _ in range(3):
        taken = bench.take(device.push())
        assert (taken.solicit, bench.verdict()) == (None, (Tier.AFFIRMING, set()))


# -- other reference values --------------------------------------------------------------------------------------------


class Removed(Bench):
    """A device after a baseline; then a file is taken out of the reference values, and its log is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.take(self.device.push())
        self.before = remembering(self)
        references = self.trust.references
        fewer = replace(references, label="good/2", ended={references.label: RECEIVED_US})
        self.trust = replace(self.trust, references=fewer)
        self.now_us = RECEIVED_US + 270 * SECOND_US
        self.old_label = self.before.measured.label


def test_a_push_that_is_no_baseline_asks_for_one_and_goes_on() -> None:
    removed = Removed()
    for full, starts in ((False, {}), (True, {"tcg2": 9, "ima": 1}), (True, {"tcg2": 9, "ima": 0})):
        taken = removed.take(removed.device.push(full=full, resend=starts))
        assert taken.solicit == SolicitRequest(reason=Reason.BASELINE_REQUIRED, logs=FROM_START)
        assert Reason.BASELINE_REQUIRED not in findings_of(taken)
        assert state_of(removed).measured.label == removed.old_label


def test_a_baseline_is_measured_by_the_new_values() -> None:
    removed = Removed()
    taken = removed.take(removed.device.push(full=True, resend=FROM_START))
    assert taken.solicit is None
    assert state_of(removed).measured.label.endswith(" good/2")


def test_a_delta_of_a_device_without_logs_is_no_baseline() -> None:
    removed = Removed()
    removed.device.boot_log, removed.device.ima_list, removed.device.sent = [], [], {}
    taken = removed.take(removed.device.push())
    assert taken.solicit is not None
    assert state_of(removed).measured.label == removed.old_label


def test_measuring_again_forgets_neither_refusals_nor_the_clock() -> None:
    removed = Removed()
    removed.now_us = RECEIVED_US + 300 * SECOND_US  # too late: everything is measured again
    taken = removed.take(removed.device.push())
    assert taken.findings[0].reason is Reason.BASELINE_REQUIRED
    state, before = state_of(removed), removed.before
    assert (state.rejections, state.handle_time_us) == (before.rejections, before.handle_time_us)
    assert state.clock.first == before.clock.first


# -- suspends ----------------------------------------------------------------------------------------------------------

DEBUG = "cel/debug"


class Suspended(CelBench):
    """A device with a log of PCR 16, which a suspend clears, after a push."""

    def __init__(self, *, lost: bool = True) -> None:
        super().__init__()
        if lost:
            self.device.measure_file(DEBUG, "/run/debug", b"good config", index=16)
        self.push()
        assert self.verdict() == (Tier.AFFIRMING, set())

    def resume(self) -> AttesterState:
        assert self.state is not None
        self.device.resume()
        self.device.cel_logs.pop(DEBUG, None)
        self.device.sent.pop(DEBUG, None)
        self.device.sync(self.handle)
        self.push()
        assert self.verdict() == (Tier.AFFIRMING, {Reason.RESUMED})
        return self.state


def test_a_suspend_ends_the_logs_of_the_pcrs_that_it_clears() -> None:
    suspended = Suspended()
    before = suspended.state
    assert before is not None
    assert before.measured.owners[SHA256.tpm_id, 16] == (DEBUG,)
    suspended.state = replace(before, tails={DEBUG: b"\0", "cel/app": b"\1"})
    after = suspended.resume()
    assert DEBUG not in after.replay.next_index
    kept = {register: names for register, names in before.measured.owners.items() if register[1] < 16}
    assert after.measured.owners == kept
    assert after.appraised is not before.appraised
    assert after.replay.next_index["ima"] == 1


def test_of_other_logs_a_suspend_ends_nothing() -> None:
    suspended = Suspended()
    before = suspended.state
    assert before is not None
    owners = {**before.measured.owners, (SHA256.tpm_id, 16): (DEBUG, "ima")}
    suspended.state = replace(before, measured=replace(before.measured, owners=owners))
    after = suspended.resume()
    assert after.replay.next_index == {name: n for name, n in before.replay.next_index.items() if name != DEBUG}


def test_a_suspend_that_clears_nothing_makes_nothing_be_judged_again() -> None:
    suspended = Suspended(lost=False)
    before = suspended.state
    assert before is not None
    assert suspended.resume().appraised is before.appraised


def test_a_suspend_keeps_tails_of_saved_pcrs_and_drops_the_others() -> None:
    suspended = Suspended()
    before = suspended.state
    assert before is not None
    suspended.state = replace(before, tails={DEBUG: b"\0", "ima": b"\1"})
    suspended.device.push(claims={"lost": "1"})  # a gap: tails stay as they are
    suspended.device.resume()
    suspended.device.sync(suspended.handle)
    suspended.push()
    assert suspended.state.tails == {"ima": b"\1"}


# -- what is told ------------------------------------------------------------------------------------------------------


def test_other_firmware_of_the_tpm_is_told_with_both_versions(bench: Bench) -> None:
    bench.device.firmware_version = 0xABC
    taken = bench.take(bench.device.push())
    told = [each.detail for each in taken.findings if each.reason is Reason.FIRMWARE_CHANGED]
    assert told == ["0x2019102300163636 to 0xabc"]
    assert Reason.FIRMWARE_CHANGED not in findings_of(bench.take(bench.device.push()))


def test_a_clock_that_ran_back_is_told_once(bench: Bench) -> None:
    newer = make_handle(1, time_us=bench.handle.time_us + SECOND_US)
    bench.trust = replace(bench.trust, handles={**bench.trust.handles, newer.id: newer})
    bench.device.clock_ms = 0
    bench.device.sync(newer)
    taken = bench.take(bench.device.push(full=True, resend=FROM_START, elapsed_ms=1))
    told = [each.reason for each in taken.findings if each.reason is Reason.CLOCK_RAN_BACK]
    assert told == [Reason.CLOCK_RAN_BACK]
    assert state_of(bench).went_back
    assert state_of(bench).clock.suspect is Reason.CLOCK_RAN_BACK


def test_a_token_that_does_not_count_is_told_with_its_reason(bench: Bench) -> None:
    bench.trust = replace(bench.trust, stamps=NoStamps())
    bench.device.sync_stamp = b"token"
    taken = bench.take(bench.device.push())
    detail = "handle-stamp-invalid: of nobody we trust"
    assert taken.findings == (Finding(reason=Reason.SYNC_STAMP_INVALID, detail=detail),)


class NoStamps:
    """Takes no token."""

    def verify_stamp(self, token: bytes, imprint: bytes) -> TstInfo:
        raise PeerError(Reason.HANDLE_STAMP_INVALID, "of nobody we trust")


def test_claims_are_merged_and_replaced(bench: Bench) -> None:
    bench.take(bench.device.push(claims={"a": "1", "b": "2"}))
    bench.take(bench.device.push())
    bench.take(bench.device.push(claims={"a": "3", "b": VANISHED}))
    assert state_of(bench).claims == {"kernel": "6.1", "a": "3"}
    bench.take(bench.device.push(full=True, claims={"c": "4"}))
    assert state_of(bench).claims == {"kernel": "6.1", "c": "4"}


def test_a_full_push_without_claims_claims_nothing(bench: Bench) -> None:
    push = bench.device.push(full=True)
    bench.take(bench.device.sign(replace(push.body, claims={}), push.unsigned_increments, {}))
    assert state_of(bench).claims == {}


def test_claims_of_two_deltas_are_held_to_the_limit_of_one_push(bench: Bench) -> None:
    assert bench.take(bench.device.push(claims={"a": "x" * 4000})).refused is None
    taken = bench.take(bench.device.push(claims={"b": "x" * 4000, "c": "x" * 400}))
    assert refusal_of(taken) is Reason.TOO_LARGE
    assert taken.solicit is None


# -- refused, overdue --------------------------------------------------------------------------------------------------


def test_refusals_are_counted_one_by_one(bench: Bench) -> None:
    before = state_of(bench)
    once = refuse(before, Reason.MALFORMED, 5)
    assert once == replace(before, rejections=Rejections(count=1, last=Reason.MALFORMED, last_us=5))
    assert refuse(once, Reason.TOO_LARGE, 6) == replace(
        before, rejections=Rejections(count=2, last=Reason.TOO_LARGE, last_us=6)
    )
    assert refuse(None, Reason.MALFORMED, 5) is None


def test_a_deadline_passes_at_its_microsecond_and_once(bench: Bench) -> None:
    state = state_of(bench)
    deadline_us = RECEIVED_US + 10 * SECOND_US
    assert overdue(state, deadline_us - 1) is state
    late = overdue(state, deadline_us)
    assert late.deadline_us is None
    assert overdue(late, deadline_us + 1) is late


def test_after_silence_nothing_is_affirmed(bench: Bench) -> None:
    state = state_of(bench)
    assert state.verdict.vector[TrustClaim.CONFIGURATION] == 2
    late = overdue(state, RECEIVED_US + 10 * SECOND_US).verdict
    assert (late.status, late.freshness) == (Tier.NONE, Freshness.STALE)
    assert late.reasons == (Reason.EVIDENCE_OVERDUE,)
    assert late.vector == {}


def test_after_silence_what_was_bad_stays_bad_with_all_its_reasons(bench: Bench) -> None:
    state = state_of(bench)
    vector = {TrustClaim.EXECUTABLES: 96}
    reasons = (Reason.FILE_UNEXPECTED, Reason.POLICY_RULE, Reason.REBOOTED)
    bad = replace(state.verdict, status=Tier.CONTRAINDICATED, vector=vector, reasons=reasons)
    late = overdue(replace(state, verdict=bad), RECEIVED_US + 10 * SECOND_US).verdict
    assert (late.status, late.freshness, late.vector) == (Tier.CONTRAINDICATED, Freshness.STALE, vector)
    assert late.reasons == (Reason.EVIDENCE_OVERDUE, *reasons)


def test_after_silence_a_warning_is_none_and_keeps_the_reasons_that_decide(bench: Bench) -> None:
    state = state_of(bench)
    reasons = (Reason.EVIDENCE_OVERDUE, Reason.FILE_MEASUREMENT_VIOLATED, Reason.POLICY_RULE, Reason.REBOOTED)
    vector = {TrustClaim.EXECUTABLES: 33}
    warned = replace(state.verdict, status=Tier.WARNING, vector=vector, reasons=reasons)
    late = overdue(replace(state, verdict=warned), RECEIVED_US + 10 * SECOND_US).verdict
    assert (late.status, late.freshness, late.vector) == (Tier.NONE, Freshness.STALE, {})
    assert late.reasons == (Reason.EVIDENCE_OVERDUE, Reason.FILE_MEASUREMENT_VIOLATED)


def test_an_error_is_part_of_a_refused_step(bench: Bench) -> None:
    taken = bench.take(replace(bench.device.push(), signature=b""))
    assert isinstance(taken.refused, PeerError)
    assert taken.findings == ()
    assert not taken.duplicate
