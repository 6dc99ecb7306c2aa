"""Whole machines, booted and attested: ``./run vm``. Minutes, so only where asked for: ``./run test --all``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NO_MIRROR = "no Debian mirror in reach"  # as deploy/vm/build-image says it
TOLD = (
    "enrolment",
    "first baseline",
    "reference values",
    "first appraisal",
    "known programs",
    "agent",
    "after the resume",
    "unknown program",
    "reboot",
    "after the reboot",
    "power cut",
    "after the power cut",
)

pytestmark = [
    pytest.mark.needs(
        *("qemu-system-x86_64", "debootstrap", "swtpm", "swtpm_setup", "mosquitto"),
        *("mke2fs", "dpkg-deb", "sfdisk", "mformat"),
    ),
    pytest.mark.skipif("ATTESTREAM_TEST_VM" not in os.environ, reason="boots a machine; ./run test --all does it"),
    pytest.mark.skipif(not Path("/usr/share/OVMF/OVMF_CODE_4M.fd").exists(), reason="needs the package ovmf"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the machine's image is made with chroot"),
]


def run_vm(*options: str) -> str:
    """What ``./run vm`` says at its end; skips where there is no image and nowhere to get it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATTESTREAM_")}
    done = subprocess.run(
        [sys.executable, "-m", "deploy.vm", *options],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    if NO_MIRROR in done.stdout:
        pytest.skip(f"{NO_MIRROR}, and no image in .cache/vm")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout.rpartition("all as it should be")[2]


def test_the_whole_life_of_a_machine() -> None:
    summary = run_vm()
    for act in TOLD:
        assert f"\n  {act:20} " in summary


def test_a_newcomer_follows_the_page_on_a_machine_with_boot_loader_and_secure_boot() -> None:
    """``docs/operations.md`` to the letter, on a disk that shim and grub boot; then faults for the doctor."""
    summary = run_vm("--name", "newcomer", "--boot", "grub", "--secure-boot", "--by-page", "--until-affirming")
    assert "all well" in summary
    assert "\n  first appraisal      affirming, fresh" in summary
    assert "each found by the doctor" in summary
