"""Signatures and lists that ``evmctl`` of ima-evm-utils makes and checks: a second implementation of the kernel's."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from endorser.core.endorsements import parse_any_file_key
from schemas.errors import PeerError
from schemas.hashes import BY_NAME, SHA256, HashAlgorithm
from schemas.ima.signature import parse_file_signature, verify_file_signature
from schemas.replay.log_replay import IMA, Replay, ReplayState
from schemas.tpm.pcr import parse_selection_text
from tests.builders.file_signing import PrivateKey, file_key, sign_file
from tests.builders.log_bytes import ima_record
from verifier_worker.core.measured import measure
from verifier_worker.core.state import Measured
from verifier_worker.core.trust import References

pytestmark = pytest.mark.needs("evmctl")

KEYS: dict[str, PrivateKey] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
}
CONTENT = b"#!/bin/sh\nexec true\n"


def evmctl(*arguments: object) -> str:
    ran = subprocess.run(["evmctl", *map(str, arguments)], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def signed_by_evmctl(folder: Path, key: PrivateKey, algorithm: HashAlgorithm = SHA256) -> bytes:
    """The ``security.ima`` of a file with :data:`CONTENT`."""
    private, file = folder / "key.pem", folder / "file"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.write_bytes(CONTENT)
    evmctl("ima_sign", "--sigfile", "--hashalgo", algorithm.name, "--key", private, file)
    return (folder / "file.sig").read_bytes()


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_what_evmctl_signs_is_signed(tmp_path: Path, name: str, algorithm: str) -> None:
    key, made = KEYS[name], BY_NAME[algorithm]
    raw = signed_by_evmctl(tmp_path, key, made)
    assert parse_file_signature(raw).key_id == file_key(key).id
    assert verify_file_signature(raw, algorithm.encode(), made.digest(CONTENT), [file_key(key)]) == file_key(key)
    with pytest.raises(PeerError):
        verify_file_signature(raw, algorithm.encode(), made.digest(CONTENT + b" "), [file_key(key)])


def test_the_default_of_evmctl_is_a_signature_that_we_take(tmp_path: Path) -> None:
    key = KEYS["rsa"]
    assert sign_file(key, SHA256.digest(CONTENT)) == signed_by_evmctl(tmp_path, key)


@pytest.mark.parametrize("name", ["rsa", "p256", "p384"])
def test_a_list_of_signed_files_means_the_same_to_both(tmp_path: Path, name: str) -> None:
    key, digest = KEYS[name], SHA256.digest(CONTENT)
    records = ima_record(b"ima-ng", b"sha256:\0" + digest, b"/plain\0") + ima_record(
        b"ima-sig", b"sha256:\0" + digest, b"/signed\0", signed_by_evmctl(tmp_path, key)
    )
    whole = Replay(ReplayState(banks=(SHA256,)), {IMA: records}).whole
    listing, pcrs, public = tmp_path / "list", tmp_path / "pcrs", tmp_path / "public.pem"
    listing.write_bytes(records)
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    values = [whole.state.registers[SHA256].get(index, bytes(32)) for index in range(24)]
    pcrs.write_text("".join(f"PCR-{index:02}: {value.hex()}\n" for index, value in enumerate(values)))
    said = evmctl("ima_measurement", "--verify-sig", "--key", public, "--pcrs", f"sha256,{pcrs}", listing)
    assert "Matched per TPM bank calculated digest(s)" in said
    nothing = References(label="", missing=(), registers={}, files=frozenset())
    trusted = replace(nothing, keys=(parse_any_file_key("public.pem", public.read_bytes()),))
    selection = parse_selection_text("sha256:10")
    for references, unexpected in ((nothing, ["/plain", "/signed"]), (trusted, ["/plain"])):
        found = measure(Measured(), whole.consumed, whole.state, references, selection, {})
        assert [path for _, path in found.unexpected] == unexpected
