"""docs/enrolment.md: the software TPM that a newcomer makes has a certificate by the CA that the page names."""

import subprocess
from pathlib import Path

import pytest

from tests.programs.page import blocks_of, follow


@pytest.mark.needs("swtpm", "swtpm_setup", "swtpm_localca", "openssl")
def test_the_software_tpm_of_the_enrolment_page_can_be_made_as_written(tmp_path: Path) -> None:
    blocks = blocks_of("enrolment.md")
    assert len(blocks) == 1
    done = follow(blocks, tmp_path)
    assert done.status == 0, done.everything
    assert "NVRAM area 0x1c00002 for RSA 2048 EK certificate" in done.everything
    vendor = done.folder / "vendor"
    root, between = vendor / "swtpm-localca-rootca-cert.pem", vendor / "issuer.pem"
    command = ["openssl", "verify", "-CAfile", str(root), str(between)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.endswith(": OK\n")
