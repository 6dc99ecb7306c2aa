"""The owner of a device turns its clocks and counters, to make old quotes look new."""

from schemas.messages.evidence import Evidence
from schemas.reasons import Reason
from schemas.tpm.pcr import parse_selection_text
from schemas.verdicts import Freshness, Tier
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_state, of_step
from tests.worlds.step_bench import Bench
from tests.worlds.watched_device import INTERVAL_S, SECOND_US, WatchedDevice

CLOCK = Kind(by=Attacker.ROOT, goal="pass an old quote off as a new one by turning the TPM's clock")
FROM_START = {"tcg2": 0, "ima": 0}


def _full(watched: WatchedDevice) -> Evidence:
    return watched.device.push(full=True, resend=FROM_START, elapsed_ms=1)


@CLOCK.attack("none", code=Reason.EVIDENCE_TOO_OLD)
def quotes_made_ahead(scene: Scene) -> Seen:
    """Good quotes of five minutes are made ahead with a clock that runs on, then a rootkit runs and they are sent."""
    bench = Bench(policy_changes={"max_handle_age_s": 120.0})
    bench.take(bench.device.push())
    ahead = [bench.device.push(elapsed_ms=10_000) for _ in range(31)]
    bench.device.run(b"/tmp/rootkit", b"evil")
    for push in ahead:
        bench.now_us += 9_000_000
        bench.take(push)
    return of_state(bench)


@CLOCK.attack("none", code=Reason.CLOCK_SET)
def set_forward(scene: Scene) -> Seen:
    """TPM2_ClockSet by three seconds, which is within the bound of drift."""
    watched = scene.watched()
    watched.round()
    watched.device.set_clock(3_000)
    watched.round()
    return of_state(watched)


@CLOCK.attack("none", code=Reason.CLOCK_SET)
def set_forward_between_proofs_by_quote(scene: Scene) -> Seen:
    """TPM2_ClockSet while the proofs are quotes, which do not say the time since power-on; then a timed one."""
    watched = scene.watched()
    watched.device.set_clock(3_000)
    watched.pass_time(INTERVAL_S)
    watched.device.sync_by_quote(watched.next_handle())
    watched.pass_time(0.2)
    watched.push()
    watched.round()
    return of_state(watched)


@CLOCK.attack("none", code=Reason.CLOCK_TOO_FAST)
def run_too_fast(scene: Scene) -> Seen:
    """TPM2_ClockRateAdjust: the clock runs a third too fast."""
    watched = scene.watched()
    watched.round(rate=1.3)
    return of_state(watched)


@CLOCK.attack("none", code=Reason.CLOCK_TOO_FAST)
def run_too_fast_and_cleared_of_it(scene: Scene) -> Seen:
    """A clock that was caught sees twelve handles in quick succession, between which any rate is possible."""
    watched = scene.watched()
    watched.round(rate=1.3)
    for _ in range(12):
        watched.round(rate=1.3, seconds=0.05)
    return of_state(watched)


@CLOCK.attack("none", code=Reason.CLOCK_TOO_FAST)
def run_too_fast_and_rebooted(scene: Scene) -> Seen:
    """A clock that was caught is rebooted, to begin with a clean record."""
    watched = scene.watched()
    watched.round(rate=1.3)
    watched.device.reboot()
    watched.next_handle()
    watched.push()
    return of_state(watched)


@CLOCK.attack("none", code=Reason.CLOCK_RAN_BACK)
def whole_tpm_set_back(scene: Scene) -> Seen:
    """An emulated TPM is set back to a snapshot, and syncs with a newer handle."""
    watched = scene.watched()
    clock_ms = watched.device.clock_ms
    watched.round()
    watched.round()
    watched.device.clock_ms, watched.device.previous = clock_ms, None
    watched.next_handle()
    watched.push(resend=FROM_START)
    return of_state(watched)


@CLOCK.attack("none", code=Reason.CLOCK_RAN_BACK)
def back_within_one_push(scene: Scene) -> Seen:
    """The quote's clock is behind that of its own proof of synchronisation."""
    watched = scene.watched()
    watched.round()
    watched.device.clock_ms += 5000
    watched.device.sync(watched.handles[-1])
    watched.device.clock_ms -= 3000
    watched.push()
    return of_state(watched)


@CLOCK.attack("refused", code=Reason.EVIDENCE_REPLAYED)
def played_again_after_going_back(scene: Scene) -> Seen:
    """The TPM is set back; evidence that was accepted before is sent again, and its counters look newer."""
    watched = scene.watched()
    clock_ms = watched.device.clock_ms
    watched.pass_time(INTERVAL_S)
    watched.next_handle()
    old = _full(watched)
    watched.take(old)
    watched.device.clock_ms, watched.device.restart_count = clock_ms, 0
    watched.now_us += 5 * SECOND_US
    watched.next_handle()
    watched.take(_full(watched))
    assert watched.verdict[1] is Freshness.CONTRADICTED
    return of_step(watched.take(old))


@CLOCK.attack("refused", code=Reason.EVIDENCE_REPLAYED)
def cleared_under_an_old_handle(scene: Scene) -> Seen:
    """TPM2_Clear, and a proof over the handle of before it."""
    watched = scene.watched()
    watched.device.clear()
    watched.device.sync(watched.handles[-1])
    watched.device.previous = None
    return of_step(watched.push(resend=FROM_START))


@CLOCK.attack("refused", code=Reason.EVIDENCE_REPLAYED)
def played_again_after_a_clear(scene: Scene) -> Seen:
    """Evidence of before a TPM2_Clear, with higher counters, is sent after it as if of a later boot."""
    watched = scene.watched()
    old = _full(watched)
    watched.pass_time(INTERVAL_S)
    watched.device.clear()
    watched.next_handle()
    watched.device.previous = None
    watched.push(resend=FROM_START)
    return of_step(watched.take(old))


@CLOCK.attack("none", code=Reason.CLOCK_EPOCH_MISMATCH)
def proof_from_before_a_suspend(scene: Scene) -> Seen:
    """The proof of synchronisation is of before a suspend during which the clock stood still."""
    watched = scene.watched()
    watched.pass_time(INTERVAL_S)
    watched.next_handle()
    watched.device.resume()
    watched.push()
    return of_state(watched)


@CLOCK.attack("affirming", code=Reason.SYNC_STAMP_INVALID)
def stamp_from_before_the_handle(scene: Scene) -> Seen:
    """A stamp older than the proof's own handle is to narrow the interval: it is reported and narrows nothing."""
    watched = scene.watched()
    watched.pass_time(INTERVAL_S)
    handle = watched.next_handle()
    watched.device.sync_stamp = (handle.time_us - 5 * SECOND_US).to_bytes(8)
    watched.pass_time(1)
    watched.push()
    assert watched.state is not None
    assert watched.state.made_before_us == watched.state.received_us
    return of_state(watched)


@CLOCK.attack("affirming", code=Reason.TPM_CLEARED)
def stamp_from_before_a_clear(scene: Scene) -> Seen:
    """Clear, sync and stamp, wait, Clear again, quote: the stamp is to date the quote back, and must not."""
    watched = scene.watched()
    watched.pass_time(INTERVAL_S)
    watched.device.clear()
    watched.pass_time(5)
    watched.device.sync_by_quote(watched.next_handle())
    watched.device.sync_stamp = (watched.now_us + 1).to_bytes(8)
    watched.pass_time(50)
    watched.device.clear()
    watched.pass_time(6)
    quoted_us = watched.now_us
    watched.take(_full(watched))
    assert watched.state is not None
    assert watched.state.made_before_us is None or watched.state.made_before_us >= quoted_us
    return of_state(watched)


SLEEP = Kind(by=Attacker.ROOT, goal="hide that the device slept or was rebooted")


@SLEEP.attack("warning", code=Reason.TRANSITION_UNREPORTED)
def suspend_kept_secret(scene: Scene) -> Seen:
    """The agent does not report the suspend that the TPM's restart count shows."""
    watched = scene.watched()
    watched.device.resume()
    watched.device.transitions = []
    watched.next_handle()
    watched.push()
    return of_state(watched)


@SLEEP.attack("warning", code=Reason.TRANSITION_UNREPORTED)
def one_of_two_suspends_kept_secret(scene: Scene) -> Seen:
    """Of two suspends one is reported."""
    watched = scene.watched()
    watched.device.resume()
    watched.device.resume()
    watched.device.transitions = watched.device.transitions[:1]
    watched.next_handle()
    watched.push()
    return of_state(watched)


@SLEEP.attack("warning", code=Reason.TRANSITION_UNREPORTED)
def suspend_behind_a_wrong_predecessor(scene: Scene) -> Seen:
    """A suspend is kept secret, and the next delta names a wrong predecessor; a full push follows."""
    watched = scene.watched()
    watched.device.resume()
    watched.device.transitions = []
    watched.device.previous = b"\x11" * 32
    watched.next_handle()
    watched.push()
    assert watched.push(full=True, resend=FROM_START).refused is None
    return of_state(watched)


@SLEEP.attack("warning", code=Reason.TRANSITION_UNREPORTED)
def suspend_kept_secret_for_ten_minutes(scene: Scene) -> Seen:
    """A suspend is kept secret; the next ten heartbeats are regular."""
    watched = scene.watched()
    watched.device.resume()
    watched.device.transitions = []
    watched.next_handle()
    watched.push()
    for _ in range(10):
        watched.round()
    return of_state(watched)


@SLEEP.attack("warning", code=Reason.TRANSITION_UNREPORTED)
def suspend_under_another_selection(scene: Scene) -> Seen:
    """A suspend is kept secret, and each later push quotes other PCRs, which begins the replay again."""
    watched = scene.watched()
    watched.device.resume()
    watched.device.transitions = []
    watched.next_handle()
    seen = []
    for selection in ("sha256:0-11", "sha256:0-12", "sha256:0-10"):
        watched.device.selection = parse_selection_text(selection)
        watched.device.previous, watched.device.sent = None, {}
        watched.push()
        watched.pass_time(1)
        seen.append(of_state(watched))
    return best_for_the_attacker(seen)


@SLEEP.attack("none", code=Reason.BASELINE_REQUIRED)
def reboot_as_a_delta(scene: Scene) -> Seen:
    """After a reboot the device goes on with a delta to the push of before it."""
    bench = scene.bench()
    previous = bench.device.previous
    bench.device.reboot()
    bench.device.sync(bench.handle)
    bench.device.previous = previous
    return of_step(bench.take(bench.device.push(full=False)))


@SLEEP.attack("contraindicated", code=Reason.PCR_UNEXPECTED)
def reboot_into_other_firmware(scene: Scene) -> Seen:
    """The device reboots with another boot loader."""
    bench = scene.bench()
    bench.device.reboot()
    bench.device.measure_boot(4, b"another boot loader")
    bench.device.sync(bench.handle)
    taken = bench.take(bench.device.push())
    assert taken.state is not None
    assert taken.state.verdict.status is not Tier.AFFIRMING
    return of_state(bench)
