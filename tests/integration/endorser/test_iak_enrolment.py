"""Enrolment by an initial attestation key: TPM2_Certify in a real TPM, and one TPM that wants to be two devices."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ObjectIdentifier

from attester_agent.enrolment import Enrolling, answer_challenge, make_request, read_outcome
from attester_agent.settings import TpmSettings
from attester_agent.tpm.device import TpmDevice
from attester_agent.tpm.enrolment import TpmEnrolment
from endorser.adapters.registry import Registry
from endorser.adapters.vendor_files import load_vendors
from endorser.registrar import Registrar
from endorser.settings import ApprovalSettings, Settings, VendorSettings
from schemas.codecs import cose
from schemas.errors import PeerError
from schemas.messages.endorsement import Genuine
from schemas.messages.enrolment import IakProof
from schemas.tpm.public import parse_public
from tests.builders.ek_authority import NOW_S, Authority, der, signing_usage
from tests.programs.swtpm import Swtpm, running_swtpm

pytestmark = pytest.mark.needs("swtpm")

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
IAK_HANDLE, AK_HANDLE = 0x8102_0010, 0x8102_0000
ROOT = Authority("oem")


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with running_swtpm(tmp_path) as running:
        yield running


@pytest.fixture
def registrar(tmp_path: Path) -> Iterator[Registrar]:
    (tmp_path / "oem.pem").write_bytes(ROOT.pem())
    settings = Settings(
        signing_key=Path("unused"),
        registry=tmp_path / "registry.db",
        vendors=VendorSettings(iak_roots={"oem": tmp_path / "oem.pem"}),
        approve=ApprovalSettings(roots=("oem",)),
    )
    registry = Registry(settings.registry)
    yield Registrar(settings, load_vendors(settings.vendors), KEY, registry)
    registry.close()


class Device:
    """A device with an IAK, of the other algorithm than its attesting key, as the OEM left it."""

    def __init__(self, tpm: Swtpm, ek: str) -> None:
        iak = TpmSettings(tcti=tpm.tcti, ak_handle=IAK_HANDLE, ak_algorithm="rsa")
        own = TpmSettings(tcti=tpm.tcti, ak_handle=AK_HANDLE, ek=ek)
        self.iak = parse_public(TpmDevice(iak, pause=lambda _: False).identity().public).public_key()
        self.identity = TpmDevice(own, pause=lambda _: False).identity()
        self.tpm = TpmEnrolment(own, pause=lambda _: False)

    def request(self, certificate: bytes, nonce: bytes = bytes(16)) -> Enrolling:
        attest, signature = self.tpm.certify(IAK_HANDLE, bytes(16))
        proof = IakProof(certificate=certificate, attest=attest, signature=signature)
        return make_request(self.tpm, self.identity, nonce, None, None, proof)

    def enrol(self, registrar: Registrar, attempt: Enrolling) -> bytes:
        _, challenge = registrar.challenge(attempt.payload, self.identity.ueid, NOW_S)
        activation = answer_challenge(attempt, challenge, KEYS, self.tpm)
        return registrar.accept(activation, self.identity.ueid, NOW_S, "test")[1]


def certificate_of(device: Device) -> bytes:
    purpose = ObjectIdentifier("2.23.133.8.3")
    return der(ROOT.certify(device.iak, purposes=(purpose,), usage=signing_usage()))


def test_a_device_with_an_iak_is_endorsed(tpm: Swtpm, registrar: Registrar) -> None:
    device = Device(tpm, "ecc")
    attempt = device.request(certificate_of(device))
    _, endorsement = read_outcome(attempt, device.enrol(registrar, attempt), KEYS, device.identity)
    assert endorsement is not None
    assert endorsement.genuine is Genuine.IAK_CERTIFICATE


def test_a_certification_serves_one_request(tpm: Swtpm, registrar: Registrar) -> None:
    device = Device(tpm, "ecc")
    with pytest.raises(PeerError, match="iak-certification-invalid"):
        device.enrol(registrar, device.request(certificate_of(device), b"x" * 16))


def test_one_iak_is_one_device(tpm: Swtpm, registrar: Registrar) -> None:
    first, second = Device(tpm, "ecc"), Device(tpm, "rsa")
    certificate = certificate_of(first)
    first.enrol(registrar, first.request(certificate))
    with pytest.raises(PeerError, match="iak-certificate-taken"):
        second.enrol(registrar, second.request(certificate))


def test_an_iak_of_another_tpm_certifies_nothing_here(tpm: Swtpm, registrar: Registrar, tmp_path: Path) -> None:
    device = Device(tpm, "ecc")
    (tmp_path / "other").mkdir()
    with running_swtpm(tmp_path / "other") as elsewhere:
        other = Device(elsewhere, "ecc")
        theirs = other.request(certificate_of(other))
        attempt = replace(theirs, ueid=device.identity.ueid)
        ueid, challenge = registrar.challenge(attempt.payload, None, NOW_S)
    assert ueid == other.identity.ueid
    with pytest.raises(PeerError, match="object-misdirected"):
        answer_challenge(attempt, challenge, KEYS, device.tpm)
