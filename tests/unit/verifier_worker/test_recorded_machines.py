"""Whole machines, recorded by ``./run vm --record``: firmware, kernel, IMA and TPM as they really are."""

from pathlib import Path

import pytest

from schemas.boot_log.command_line import load_options_digest
from schemas.boot_log.facts import BootFacts, SecureBoot
from schemas.boot_log.records import parse_event, split_records
from schemas.hashes import SHA256
from schemas.reasons import Reason
from schemas.replay.log_replay import IMA, TCG2
from schemas.tpm.attest import parse_attest
from schemas.verdicts import Freshness, Tier
from tests.builders.recorded_machine import RECORDINGS, VECTORS, acts, pushes, replay

WHOLE = [folder for folder in RECORDINGS if "power cut" in acts(folder)]


def name(folder: Path) -> str:
    return folder.name


def test_there_are_recordings() -> None:
    assert RECORDINGS
    assert WHOLE


@pytest.mark.parametrize("folder", RECORDINGS, ids=name)
def test_nothing_is_refused_and_the_machine_is_affirmed(folder: Path) -> None:
    done = acts(folder)
    for push in replay(folder):
        assert push.taken.refused is None
        if push.number < done["first appraisal"]:
            assert push.state.verdict.status is Tier.AFFIRMING, push.taken.findings
            assert push.state.verdict.freshness is Freshness.FRESH


@pytest.mark.parametrize("folder", WHOLE, ids=name)
def test_the_unknown_program_is_named_until_the_reboot(folder: Path) -> None:
    done = acts(folder)
    bad = [push for push in replay(folder) if push.state.verdict.status is Tier.CONTRAINDICATED]
    assert bad
    for push in bad:
        assert done["known programs"] <= push.number < done["reboot"]
        assert Reason.FILE_UNEXPECTED in push.state.verdict.reasons
    assert "/opt/unknown-program" in {finding.detail for finding in bad[0].taken.findings}


@pytest.mark.parametrize("folder", WHOLE, ids=name)
def test_reboots_are_told_once_each_and_begin_with_a_baseline(folder: Path) -> None:
    told = [push for push in replay(folder) if Reason.REBOOTED in push.state.verdict.reasons]
    counts = [parse_attest(push.evidence.quote).clock_info.reset_count for push in told]
    assert counts == sorted(set(counts))
    assert len(counts) == 2  # in order, and by the power cut
    for push in told:
        assert push.evidence.body.previous is None
        assert push.evidence.body.logs == {TCG2: 0, IMA: 0}
        assert push.state.verdict.status is Tier.AFFIRMING


@pytest.mark.parametrize("folder", WHOLE, ids=name)
def test_a_resume_is_told(folder: Path) -> None:
    if "resume" not in acts(folder):
        pytest.skip("this machine cannot suspend")
    told = [push for push in replay(folder) if Reason.RESUMED in push.state.verdict.reasons]
    assert told
    assert all(parse_attest(push.evidence.quote).clock_info.restart_count == 1 for push in told)


@pytest.mark.parametrize("folder", WHOLE, ids=name)
def test_the_power_cut_set_the_clock_back(folder: Path) -> None:
    """No TPM2_Shutdown: the TPM goes on from the value that it had saved, and is safe again before an agent looks."""
    clocks = [parse_attest(push.quote).clock_info for push in pushes(folder)]
    last = clocks[-1].reset_count
    before = max(each.clock for each in clocks if each.reset_count == last - 1)
    assert min(each.clock for each in clocks if each.reset_count == last) < before
    assert all(each.safe for each in clocks)


@pytest.mark.parametrize("folder", RECORDINGS, ids=name)
def test_heartbeats_are_small(folder: Path) -> None:
    """Budget of the design: 700 bytes for ECC; an RSA signature is 180 bytes longer, and there are two."""
    rsa = "rsa" in folder.name
    still = [push for push in pushes(folder) if not push.unsigned_increments and push.body.previous is not None]
    sizes = [len(push.raw_body) + len(push.quote) + len(push.signature) for push in still]
    assert max(sizes) <= (1100 if rsa else 700)


@pytest.mark.parametrize(
    ("name", "state", "images"),
    [
        ("plain", SecureBoot.DISABLED, 1),  # the kernel
        ("secure-boot", SecureBoot.ENABLED, 0),  # OVMF built for Secure Boot measures none of QEMU's -kernel
        ("grub-secure-boot", SecureBoot.ENABLED, 4),  # shim, grub, and the kernel twice
    ],
)
def test_what_their_boot_logs_say_of_secure_boot_and_of_what_was_started(
    name: str, state: SecureBoot, images: int
) -> None:
    cut = split_records((VECTORS / name / "boot-log.bin").read_bytes())
    events = [parse_event(record, cut.format if number else None) for number, record in enumerate(cut.records)]
    facts = BootFacts().after(events, [SHA256])
    assert facts.secure_boot is state
    assert facts.images_total == images


COMMAND_LINES = {
    "ima-sig-tcb": (Tier.AFFIRMING, None),
    "plain": (Tier.CONTRAINDICATED, Reason.KERNEL_ARGUMENT_MISSING),
    "rsa-two-banks": (Tier.CONTRAINDICATED, Reason.KERNEL_ARGUMENT_MISSING),
    "secure-boot": (Tier.NONE, Reason.BOOT_UNKNOWN),
    "grub-secure-boot": (Tier.NONE, Reason.BOOT_UNKNOWN),
}


@pytest.mark.parametrize("folder", RECORDINGS, ids=name)
def test_pcr_9_proves_the_command_line_where_the_firmware_starts_the_kernel(folder: Path, tmp_path: Path) -> None:
    """``kernel-argument-missing``. GRUB extends files first; OVMF for Secure Boot lets QEMU start its kernel."""
    text = (folder / "policy.toml").read_text("utf-8") + '\n[boot]\narguments = ["ima_policy=*tcb*", "quiet"]\n'
    (tmp_path / "policy.toml").write_text(text, "utf-8")
    status, reason = COMMAND_LINES[folder.name]
    for push in replay(folder, tmp_path / "policy.toml"):
        verdict = push.state.verdict
        assert verdict.status is status or Reason.FILE_UNEXPECTED in verdict.reasons, push.taken.findings
        assert reason is None or reason in verdict.reasons


def test_another_text_than_the_one_that_was_measured_is_not_believed(tmp_path: Path) -> None:
    folder = VECTORS / "ima-sig-tcb"
    text = (folder / "policy.toml").read_text("utf-8") + '\n[boot]\narguments = ["ima_policy=tcb"]\n'
    (tmp_path / "policy.toml").write_text(text, "utf-8")
    push = next(iter(replay(folder, tmp_path / "policy.toml")))
    boot = push.state.measured.boot
    claimed = push.state.claims["kernel-command-line"]
    assert isinstance(claimed, str)
    assert boot.load_options == load_options_digest(claimed, SHA256)
    assert boot.load_options != load_options_digest(f"{claimed} evil", SHA256)
