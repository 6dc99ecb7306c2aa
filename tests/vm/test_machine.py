"""A whole machine, booted and attested: ``./run vm``. Minutes, so only where asked for: ``./run test --all``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOLD = ("enrolment", "first baseline", "first appraisal", "known programs", "unknown program", "reboot", "power cut")

pytestmark = [
    pytest.mark.needs("qemu-system-x86_64", "debootstrap", "swtpm", "swtpm_setup", "mosquitto", "mke2fs", "dpkg-deb"),
    pytest.mark.skipif("ATTESTREAM_TEST_VM" not in os.environ, reason="boots a machine; ./run test --all does it"),
    pytest.mark.skipif(not Path("/usr/share/OVMF/OVMF_CODE_4M.fd").exists(), reason="needs the package ovmf"),
]


def test_the_whole_life_of_a_machine() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATTESTREAM_")}
    done = subprocess.run(
        [sys.executable, "-m", "deploy.vm"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    summary = done.stdout.rpartition("all as it should be")[2]
    for act in TOLD:
        assert act in summary
