"""Performs docs/audit.md step by step: from one running device to an auditor's answers."""

from pathlib import Path

import pytest

from tests.programs.page import blocks_of, follow


@pytest.mark.needs("mosquitto", "swtpm", "tpm2_pcrread", "openssl")
def test_the_audit_page_works_as_written(tmp_path: Path) -> None:
    """The device is good at one time and bad at another; both are proved, and one proof is checked by hand."""
    blocks = blocks_of("audit.md")
    assert len(blocks) == 10
    done = follow(blocks, tmp_path)
    assert done.status == 0, done.everything
    _, _, _, checked, derived, good, bad, apart, stamps, note = done.printed
    assert "hold" in checked, done.everything
    assert "results derived again, claim for claim" in derived, done.everything
    assert "PROVEN, YES" in good, done.everything
    assert "gateway.conf" in bad, done.everything
    assert "PROVEN, NO" in bad, done.everything
    assert "evidence: before" in apart, done.everything
    assert stamps.count("Verification: OK") >= 2, done.everything
    assert "signed by the log's key" in note, done.everything
