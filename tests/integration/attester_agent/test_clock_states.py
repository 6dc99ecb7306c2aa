"""Every row of the clock's state machine, caused on real parts, and the reason code that a result gives for it.

swtpm has one firmware version, and a clock that disobeys within one boot is beyond it: these rows are played by a
device in memory. No row is ever contraindicated: what the TPM says of its clock is no measurement.
"""

import shutil
from pathlib import Path

import pytest

from schemas.messages.evidence import encode_evidence, parse_evidence
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.verdicts import Tier
from tests.programs.time_rig import TimeRig, time_rig
from tests.worlds.device import T0_US, make_handle, make_trust
from tests.worlds.time_histories import FIRMWARE, ClockedDevice
from verifier_worker.core.state import AttesterState
from verifier_worker.core.step import step

needs_parts = pytest.mark.needs("mosquitto", "swtpm", "tpm2_readclock", "tpm2_setclock", "tpm2_clear", "openssl")
HANDLE_S = 1.0


def affirming(result: AttestationResult) -> bool:
    return result.status is Tier.AFFIRMING


def ran_back(result: AttestationResult) -> bool:
    refused = result.rejections.last if result.rejections is not None else None
    return Reason.CLOCK_RAN_BACK in {*result.reasons, refused}


def never_contraindicated(rig: TimeRig) -> bool:
    return all(result.status is not Tier.CONTRAINDICATED for result in rig.results())


@needs_parts
def test_nothing_happens_and_nothing_is_told(tmp_path: Path) -> None:
    with time_rig(tmp_path, interval_s=HANDLE_S) as rig:
        since = rig.wait_for_new(count=12)
    assert [(result.status, list(result.reasons)) for result in since] == [(Tier.AFFIRMING, [])] * len(since)


@needs_parts
def test_a_reset_after_an_orderly_shutdown_is_a_reboot(tmp_path: Path) -> None:
    with time_rig(tmp_path, interval_s=HANDLE_S) as rig:
        rig.tpm.shut_down()
        rig.tpm.start()
        told = rig.wait_for_reason(Reason.REBOOTED)
        assert Reason.CLOCK_UNSAFE not in told.reasons
        rig.wait_for_new(affirming, "an affirming result of the new boot")
        assert rig.check_all() > 2


@needs_parts
def test_a_power_cut_is_a_reboot_with_an_unsafe_clock(tmp_path: Path) -> None:
    with time_rig(tmp_path, interval_s=HANDLE_S) as rig:
        rig.tpm.cut_power()
        rig.tpm.start()
        assert Reason.CLOCK_UNSAFE in rig.wait_for_reason(Reason.REBOOTED).reasons
        rig.wait_for_new(lambda result: Reason.CLOCK_UNSAFE in result.reasons, "it stays unsafe for a while", count=2)
        assert rig.check_all() > 2
        assert never_contraindicated(rig)


@needs_parts
def test_a_resume_is_told(tmp_path: Path) -> None:
    with time_rig(tmp_path, interval_s=HANDLE_S) as rig:
        rig.tpm.suspend_and_resume()
        assert Reason.REBOOTED not in rig.wait_for_reason(Reason.RESUMED).reasons
        rig.wait_for_new(lambda result: result.status in {Tier.AFFIRMING, Tier.WARNING}, "a result after the resume")
        assert rig.check_all() > 2
        assert never_contraindicated(rig)


@needs_parts
@pytest.mark.parametrize("ahead_ms", [1_500, 60_000])
def test_a_clock_that_was_set_forward_is_found(tmp_path: Path, ahead_ms: int) -> None:
    """By the next sync proof: clock and time, of one oscillator, no longer agree."""
    with time_rig(tmp_path, interval_s=HANDLE_S) as rig:
        rig.wait_for_new(count=7)  # a first sync proof to compare with is certain
        rig.set_clock_forward(ahead_ms)
        assert not affirming(rig.wait_for_reason(Reason.CLOCK_SET))
        assert never_contraindicated(rig)
        assert rig.check_all() > 2


@needs_parts
def test_a_cleared_tpm_counts_resets_anew_under_a_newer_handle(tmp_path: Path) -> None:
    with time_rig(tmp_path, interval_s=HANDLE_S) as rig:
        rig.tpm.reboot(graceful=True)
        rig.wait_for_reason(Reason.REBOOTED)
        rig.kill("agent")
        ueid = rig.ueid
        rig.tool("tpm2_clear", "-c", "l")
        rig.provision()
        assert rig.ueid == ueid  # same endorsement seed, same attesting key
        rig.start("attester_agent", "agent")
        rig.wait_for_reason(Reason.TPM_CLEARED)
        rig.wait_for_new(affirming, "an affirming result of the cleared TPM")
        assert rig.check_all() >= 4
        assert never_contraindicated(rig)


@needs_parts
def test_a_tpm_restored_from_a_copy_ran_back(tmp_path: Path) -> None:
    """A snapshot of a virtual TPM: the same boot again, with an earlier clock, under a newer handle."""
    with time_rig(tmp_path, interval_s=HANDLE_S) as rig:
        rig.tpm.shut_down()
        shutil.copytree(rig.tpm.directory, tmp_path / "copy")
        rig.tpm.start()
        rig.wait_for_new(affirming, "three seconds of the boot that is to be undone", count=15)
        rig.tpm.shut_down()
        shutil.copytree(tmp_path / "copy", rig.tpm.directory, dirs_exist_ok=True)
        rig.tpm.start()
        rig.wait_for_new(ran_back, "a result that says so, of itself or of pushes refused before it")
        assert never_contraindicated(rig)


class Told:
    """A device in memory and what a verifier made of it."""

    def __init__(self) -> None:
        self.device = ClockedDevice()
        self.handles = tuple(make_handle(number, time_us=T0_US + number * 10_000_000) for number in range(3))
        self.trust = make_trust(self.device, handles=self.handles)
        self.state: AttesterState | None = None
        self.now_us = T0_US

    def push(self, *, at_us: int) -> AttesterState:
        evidence = parse_evidence(encode_evidence(self.device.push(elapsed_ms=0)))
        taken = step(self.state, self.device.ueid, evidence, at_us, self.trust)
        assert taken.refused is None, taken.refused
        assert taken.state is not None
        self.state = taken.state
        return taken.state

    def pass_time(self, ms: int) -> None:
        self.device.clock_ms += ms
        self.device.time_ms += ms


def test_a_changed_firmware_version_is_told_once() -> None:
    told = Told()
    told.device.sync(told.handles[0])
    assert told.push(at_us=T0_US).verdict.reasons == ()
    told.device.firmware = FIRMWARE + 1
    told.device.reboot()
    told.pass_time(10_000)
    told.device.sync(told.handles[1])
    verdict = told.push(at_us=T0_US + 10_000_000).verdict
    assert Reason.FIRMWARE_CHANGED in verdict.reasons
    assert verdict.status is not Tier.CONTRAINDICATED
    told.pass_time(1_000)
    assert Reason.FIRMWARE_CHANGED not in told.push(at_us=T0_US + 11_000_000).verdict.reasons


def test_a_quote_whose_clock_is_behind_its_own_proof_ran_back() -> None:
    told = Told()
    told.pass_time(5_000)
    told.device.sync(told.handles[0])
    told.pass_time(-2_000)
    verdict = told.push(at_us=T0_US + 1_000_000).verdict
    assert Reason.CLOCK_RAN_BACK in verdict.reasons
    assert verdict.status is Tier.NONE


@pytest.mark.parametrize(("ahead_ms", "found"), [(0, False), (900, False), (1_200, True)])
def test_a_set_clock_is_found_from_two_proofs_and_only_then(ahead_ms: int, *, found: bool) -> None:
    told = Told()
    told.device.sync(told.handles[0])
    told.push(at_us=T0_US)
    told.pass_time(10_000)
    told.device.clock_ms += ahead_ms
    told.device.sync(told.handles[1])
    verdict = told.push(at_us=T0_US + 11_500_000).verdict
    assert (Reason.CLOCK_SET in verdict.reasons) == found
    assert verdict.status is (Tier.NONE if found else Tier.AFFIRMING)


def test_a_verifier_whose_clock_is_behind_calls_no_honest_clock_wrong() -> None:
    """Its receipt is then no upper bound of the sync proof, and no bound of the clock's rate can rest on it alone."""
    told, behind_us = Told(), 4_000_000
    told.device.sync(told.handles[0])
    told.push(at_us=T0_US + 1_000_000 - behind_us)
    told.pass_time(10_000)
    told.device.sync(told.handles[1])
    state = told.push(at_us=T0_US + 11_000_000 - behind_us)
    rate = state.clock.rate_ppm
    assert rate is None or rate[0] <= 0 <= rate[1]
    assert Reason.CLOCK_TOO_FAST not in state.verdict.reasons
