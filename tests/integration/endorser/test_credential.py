"""MakeCredential without a TPM, opened by TPMs and checked against tpm2-pytss: RSA and P-256 endorsement keys."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tpm2_pytss import ESAPI, TPM2_CAP, TPM2B_NAME, TPM2B_PUBLIC, TPMT_PUBLIC
from tpm2_pytss.utils import make_credential as make_credential_of_pytss

from attester_agent.enrolment import make_request
from attester_agent.settings import TpmSettings
from attester_agent.tpm.device import TpmDevice
from attester_agent.tpm.enrolment import TpmEnrolment
from endorser.core.certificate_path import Vendors
from endorser.core.credential import make_credential
from endorser.core.enrolment import examine
from schemas.errors import WorldError
from schemas.identifiers import ueid_from_key
from schemas.messages.enrolment import parse_request
from schemas.tpm.public import parse_public
from tests.builders.ek_authority import NOW_S, Authority, der
from tests.programs.swtpm import Swtpm, require_tool, running_swtpm

pytestmark = pytest.mark.needs("swtpm")

SECRET, SEED = b"s" * 32, b"e" * 64


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with running_swtpm(tmp_path) as running:
        yield running


def parts(tpm: Swtpm, ek: str, ak: str = "ecc") -> tuple[TpmDevice, TpmEnrolment]:
    settings = TpmSettings(tcti=tpm.tcti, ek=ek, ak_algorithm=ak)
    return TpmDevice(settings, pause=lambda _: False), TpmEnrolment(settings, pause=lambda _: False)


@pytest.mark.parametrize("ak", ["ecc", "rsa"])
@pytest.mark.parametrize("ek", ["ecc", "rsa"])
def test_a_tpm_opens_what_we_seal(tpm: Swtpm, ek: str, ak: str) -> None:
    device, enrolment = parts(tpm, ek, ak)
    identity = device.identity()
    public = parse_public(enrolment.endorsement_key())
    spki = public.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert ueid_from_key(spki) == identity.ueid
    for _ in range(4):
        assert enrolment.activate(*make_credential(public, identity.environment, SECRET, SEED)) == SECRET
    with ESAPI(tpm.tcti) as esapi:
        for kind in (0x80000000, 0x02000000, 0x03000000):
            _, found = esapi.get_capability(TPM2_CAP.HANDLES, kind, 64)
            assert [int(each) for each in found.data.handles if int(each) >> 24 == kind >> 24] == []


@pytest.mark.parametrize("ek", ["ecc", "rsa"])
def test_tpm2_pytss_seals_what_the_agent_opens(tpm: Swtpm, ek: str) -> None:
    device, enrolment = parts(tpm, ek)
    public = TPM2B_PUBLIC(publicArea=TPMT_PUBLIC.unmarshal(enrolment.endorsement_key())[0])
    sealed, encrypted = make_credential_of_pytss(public, SECRET, TPM2B_NAME(device.identity().environment))
    assert enrolment.activate(bytes(sealed.credential), bytes(encrypted.secret)) == SECRET


def test_a_tpm_does_not_open_what_is_sealed_for_another_key(tpm: Swtpm) -> None:
    device, enrolment = parts(tpm, "ecc")
    device.identity()
    public = parse_public(enrolment.endorsement_key())
    sealed = make_credential(public, b"\x00\x0b" + bytes(32), SECRET, SEED)
    with pytest.raises(WorldError, match="activate-credential"):
        enrolment.activate(*sealed)


@pytest.mark.parametrize("position", [2, 40, -1])
def test_a_changed_credential_is_not_opened(tpm: Swtpm, position: int) -> None:
    device, enrolment = parts(tpm, "ecc")
    sealed, encrypted = make_credential(
        parse_public(enrolment.endorsement_key()), device.identity().environment, SECRET, SEED
    )
    changed = bytearray(sealed)
    changed[position] ^= 1
    with pytest.raises(WorldError, match="activate-credential"):
        enrolment.activate(bytes(changed), encrypted)


def test_a_tpm_without_a_certificate_says_so_and_takes_one_from_a_file(tpm: Swtpm) -> None:
    device, enrolment = parts(tpm, "ecc")
    assert enrolment.certificate() is None
    assert enrolment.chain() == b""
    key = parse_public(enrolment.endorsement_key()).public_key()
    certificate = der(Authority("root").certify(key))
    attempt = make_request(enrolment, device.identity(), bytes(16), None, (certificate,))
    assert certificate in attempt.raw


def store(tpm: Swtpm, folder: Path, index: int, content: bytes, attributes: str) -> None:
    """What a manufacturer does: an NV index."""
    path = folder / f"{index:x}"
    path.write_bytes(content)
    size = str(len(content))
    define = [require_tool("tpm2_nvdefine"), "-Q", "-T", tpm.tcti, "-C", "o", "-s", size, "-a", attributes, hex(index)]
    subprocess.run(define, check=True)
    write = [require_tool("tpm2_nvwrite"), "-Q", "-T", tpm.tcti, "-C", "o", "-i", str(path), hex(index)]
    subprocess.run(write, check=True)


@pytest.mark.needs("tpm2_nvdefine", "tpm2_nvwrite")
@pytest.mark.parametrize("reading", ["ownerread", "authread", "ownerread|authread"])
def test_certificates_are_read_from_where_manufacturers_put_them(tpm: Swtpm, tmp_path: Path, reading: str) -> None:
    device, enrolment = parts(tpm, "ecc")
    root = Authority("root")
    middle = Authority("middle", root)
    certificate = der(middle.certify(parse_public(enrolment.endorsement_key()).public_key()))
    attributes = f"ownerwrite|{reading}"
    padding = b"\xff" * 100  # indices are often larger than what is in them
    store(tpm, tmp_path, 0x01C0000A, certificate + padding, attributes)
    store(tpm, tmp_path, 0x01C00100, der(middle.certificate)[:300], attributes)
    store(tpm, tmp_path, 0x01C00101, der(middle.certificate)[300:] + der(root.certificate) + padding, attributes)
    attempt = make_request(enrolment, device.identity(), bytes(16))
    request = parse_request(attempt.raw)
    assert request.certificate == certificate
    vendors = Vendors(roots=(("acme", root.certificate),))
    assert examine(attempt.raw, vendors, NOW_S).ueid == device.identity().ueid
