"""Handles of the real distributor code on the embedded TSA, checked by openssl alone: a second implementation."""

import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from handle_distributor.epoch_bell import BellRules, EpochBell
from runtime import clock
from runtime.time_stamps.address import parse_tsa_url
from runtime.time_stamps.client import HttpTimeStampAuthority
from runtime.time_stamps.verifier import load_time_stamp_verifier
from tests.fakes.distributor import MemoryStore, RecordingPublisher
from tests.programs.tsa import running_tsa

pytestmark = pytest.mark.needs("openssl")


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A handle taken apart with cbor2, and the root of its TSA."""

    root: Path
    token: Path
    signature: Path
    marker: Path


@pytest.fixture(name="issued", scope="module")
def issued_handle(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    folder = tmp_path_factory.mktemp("handle")
    with running_tsa(folder / "tsa") as tsa:
        stamps = load_time_stamp_verifier([tsa.root_file])
        address = parse_tsa_url(tsa.url)
        bell = EpochBell(
            BellRules(issuer="main", lifetime_s=300, max_clock_offset_us=5_000_000, required_agreement=1),
            key=generate_private_key(SECP256R1()),
            authorities=[HttpTimeStampAuthority(address, stamps, timeout_s=20, monotonic_s=clock.monotonic_s)],
            stamps=stamps,
            store=MemoryStore(),
            publisher=RecordingPublisher(),
            clock=clock,
        )
        handle = bell.ring()
    assert handle is not None
    _, unprotected, payload, signature = cbor2.loads(handle.raw).value
    parts = {
        "token": unprotected[270],
        "signature": cbor2.dumps(signature),  # the CBOR byte string, head included (RFC 9921, 3.1)
        "marker": cbor2.loads(payload)[2000].value,
    }
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    return Issued(root=tsa.root_file, **{name: folder / name for name in parts})


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *map(str, arguments)], check=False, capture_output=True, text=True)


def verify(issued: Issued, data: Path, root: Path | None = None) -> subprocess.CompletedProcess[str]:
    trusted = root or issued.root
    return openssl("ts", "-verify", "-data", data, "-in", issued.token, "-token_in", "-CAfile", trusted)


def test_openssl_verifies_the_stamp_on_the_distributors_signature(issued: Issued) -> None:
    done = verify(issued, issued.signature)
    assert (done.returncode, "Verification: OK" in done.stdout) == (0, True), done.stderr


def test_openssl_refuses_it_for_another_signature(issued: Issued, tmp_path: Path) -> None:
    other = bytearray(issued.signature.read_bytes())
    other[-1] ^= 1
    (tmp_path / "other").write_bytes(other)
    assert verify(issued, tmp_path / "other").returncode != 0


def test_openssl_refuses_it_under_another_root(issued: Issued, tmp_path: Path) -> None:
    with running_tsa(tmp_path) as other:
        assert verify(issued, issued.signature, other.root_file).returncode != 0


def test_openssl_reads_the_epoch_marker(issued: Issued) -> None:
    done = openssl("asn1parse", "-inform", "DER", "-in", issued.marker)
    assert done.returncode == 0
    imprint = hashlib.sha256(b"EPOCH_BELL").hexdigest().upper()
    assert re.search(rf"OCTET STRING +\[HEX DUMP\]:{imprint}", done.stdout)
    assert re.search(r"OBJECT +:sha256\n.*NULL", done.stdout), "the draft wants the parameters NULL"
    assert re.search(r"GENERALIZEDTIME +:\d{14}(\.\d{1,3})?Z", done.stdout)


def test_openssl_reads_the_tokens_time_with_its_fraction(issued: Issued) -> None:
    done = openssl("ts", "-reply", "-in", issued.token, "-token_in", "-token_out", "-text")
    assert done.returncode == 0, done.stderr
    assert re.search(r"Time stamp: .* GMT", done.stdout)
    assert "Accuracy: unspecified seconds, 0x01F4 millis" in done.stdout
