"""Performs docs/operations.md step by step."""

import re
from pathlib import Path

import pytest

from tests.programs.page import blocks_of, follow


@pytest.mark.needs("mosquitto", "swtpm", "tpm2_pcrread", "openssl", "curl")
def test_the_operations_page_works_as_written(tmp_path: Path) -> None:
    blocks = blocks_of("operations.md")
    assert len(blocks) == 18
    done = follow(blocks, tmp_path)
    output = "".join(done.printed)
    assert done.status == 0, done.everything
    assert re.search(r"affirming +fresh", output), done.everything
    assert re.search(r"contraindicated +pcr-unexpected: PCR sha256:4", output), done.everything
    assert "pcr-unexpected evidence=" in output, done.everything
    assert re.search(r"holds: attestream\.invalid/[0-9a-f]{16}: [0-9]+ entries extend", output), done.everything
    restored, verifier, distributor, tsa, endorser, device = done.printed[-6:]
    assert "pcr-unexpected" in restored, done.everything
    assert re.search(r"contraindicated +pcr-unexpected: PCR sha256:4 +fresh", verifier), done.everything
    assert "issuer: " in distributor, done.everything
    assert re.search(r"contraindicated +pcr-unexpected: PCR sha256:4 +fresh", tsa), done.everything
    assert re.search(r"affirming +fresh", endorser), done.everything
    assert re.search(r"affirming +fresh", device), done.everything
    assert "another key" in device, done.everything
    assert "object-rolled-back" not in done.logs, done.everything
