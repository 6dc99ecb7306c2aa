"""Performs docs/policies.md step by step."""

from pathlib import Path

import pytest

from tests.programs.page import ROOT, blocks_of, follow


@pytest.mark.needs("mosquitto", "swtpm", "tpm2_pcrread", "openssl")
def test_the_policies_page_works_as_written(tmp_path: Path) -> None:
    """From no policy to one, to another and back; then a changed file is shown by its path."""
    blocks = blocks_of("policies.md")
    assert len(blocks) == 10
    done = follow(blocks, tmp_path)
    assert done.status == 0, done.everything
    assert len(done.printed) == len(blocks)
    _, fleet, written, bad, published, tried, strict, back, changed, looked_up = done.printed
    assert "none  policy-missing" in fleet, done.everything
    assert "baseline-required" not in fleet  # nobody asks for what nobody could judge
    assert "fleet.toml: policy fleet/0 is fine" in written
    for line in bad.strip().splitlines():
        assert line in (ROOT / "docs" / "policies.md").read_text("utf-8")
    assert "undeclared reference to 'contain'" in bad
    assert "affirming  fresh" in published, done.everything
    assert '"policies":["fleet/' in published
    assert "affirming -> warning" in tried, done.everything
    assert '"comparable":true,"differs":true' in tried
    assert "warning  policy-rule: a kernel that is no release" in strict, done.everything
    assert "affirming  fresh" in back.splitlines()[-1], done.everything
    assert "contraindicated  file-unexpected: " in changed, done.everything
    assert "/gateway.conf" in changed.splitlines()[-1]
    assert "kernel-release" in looked_up
    assert "rules.toml: policy rules/0 is fine" in looked_up
