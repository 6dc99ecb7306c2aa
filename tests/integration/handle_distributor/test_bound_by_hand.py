"""The commands of docs/protocol.md, "Redo a bound by hand", on bytes made by real parts, give the model's number."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from runtime.clock import utc_us
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas import media_types
from schemas.codecs import cmw
from schemas.media_types import Indicator
from schemas.messages.evidence import encode_evidence
from schemas.messages.handle import verify_handle
from schemas.time_model import quote_made
from tests.fakes.attester import HandleMint
from tests.worlds.device import FakeDevice

pytestmark = pytest.mark.needs("openssl")

PROTOCOL = Path(__file__).resolve().parents[3] / "docs" / "protocol.md"


def commands() -> list[str]:
    """The section's blocks, in order."""
    section = PROTOCOL.read_text("utf-8").split("### Redo a bound by hand\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """As a reader would, with the Python that has cbor2."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("drift_ppm", [0, 150_000])
def test_the_commands_give_the_lower_bound(tmp_path: Path, drift_ppm: int) -> None:
    mint, device = HandleMint(), FakeDevice()
    raw = mint.raw(utc_us() // 1000 * 1000)
    handle = verify_handle(raw, mint.keys, TimeStampVerifier(mint.authority.root.pem))
    device.sync(handle)
    synced_ms = device.clock_ms
    evidence = device.push(elapsed_ms=12_345)
    (tmp_path / "handle.bin").write_bytes(raw)
    (tmp_path / "evidence.bin").write_bytes(
        cmw.wrap(media_types.EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE)
    )
    (tmp_path / "tsa-root.pem").write_bytes(mint.authority.root.pem)
    ak = device.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "ak.pem").write_bytes(ak)
    stamp, signatures, bound = commands()
    first = run(tmp_path, stamp)
    assert first.returncode == 0, first.stderr
    assert "Verification: OK" in first.stdout
    assert "Accuracy: unspecified seconds, 0x01F4 millis" in first.stdout
    second = run(tmp_path, signatures)
    assert second.stdout.splitlines() == ["Verified OK"] * 2, second.stderr
    filled = bound.replace("ACCURACY_US", str(handle.accuracy_us)).replace("DRIFT_PPM", str(drift_ppm))
    third = run(tmp_path, filled)
    assert third.returncode == 0, third.stderr
    assert int(third.stdout) == quote_made(handle.made, synced_ms, synced_ms + 12_345, drift_ppm).after_us
    (tmp_path / "handle.bin").write_bytes(mint.raw(utc_us()))
    assert run(tmp_path, filled).returncode != 0
