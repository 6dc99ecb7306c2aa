"""Enrolment with real TPMs: EK certificates of swtpm_localca in NV, TPM2_ActivateCredential, a verifier that believes."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from attester_agent.enrol import Enrolling, answer_challenge, make_request, read_outcome
from attester_agent.ports import Identity
from attester_agent.settings import TpmSettings
from attester_agent.tpm_device import TpmDevice
from attester_agent.tpm_enrolment import TpmEnrolment
from endorser.enrolment import Standing
from endorser.registrar import Registrar
from endorser.registry import Registry
from endorser.settings import ApprovalSettings, Settings, VendorSettings
from endorser.vendor_files import load_vendors
from schemas import cose
from schemas.endorsement import Genuine
from schemas.errors import PeerError, WorldError
from schemas.reasons import Reason
from tests.parts.swtpm import Swtpm
from tests.parts.vendor_tpm import Vendor, make_vendor, vendor_tpm

pytestmark = pytest.mark.needs("swtpm", "swtpm_setup", "swtpm_localca")

NOW_S = 1_900_000_000
KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}


class Factory:
    """A vendor, its TPMs, and an endorser that trusts it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.vendor = make_vendor(folder / "vendor")
        self._stack = stack
        self._count = 0

    def tpm(self, vendor: Vendor | None = None) -> Swtpm:
        self._count += 1
        folder = self.folder / f"tpm{self._count}"
        return self._stack.enter_context(vendor_tpm(folder, vendor or self.vendor, folder.name))

    def registrar(self, *, vendor: Vendor | None = None, automatic: bool = True) -> Registrar:
        trusted = vendor or self.vendor
        settings = Settings(
            signing_key=Path("unused"),
            registry=self.folder / "registry.db",
            vendors=VendorSettings(roots={"swtpm": trusted.root}, intermediates=(trusted.intermediate,)),
            approve=ApprovalSettings(roots=("swtpm",) if automatic else ()),
            group="factory",
        )
        registry = Registry(settings.registry)
        self._stack.callback(registry.close)
        return Registrar(settings, load_vendors(settings.vendors), KEY, registry)


class Attester:
    """One device."""

    def __init__(self, tpm: Swtpm, **settings: object) -> None:
        chosen = TpmSettings(tcti=tpm.tcti, ek="rsa", **settings)  # type: ignore[arg-type]  # as a test names them
        self.tpm = TpmEnrolment(chosen, pause=lambda _seconds: False)
        self.identity: Identity = TpmDevice(chosen, pause=lambda _seconds: False).identity()

    def request(self, name: str | None = None) -> Enrolling:
        return make_request(self.tpm, self.identity, bytes(16), name)

    def answer(self, attempt: Enrolling, challenge: bytes) -> bytes:
        return answer_challenge(attempt, challenge, KEYS, self.tpm)

    def enrol(self, registrar: Registrar, name: str | None = None, now_s: int = NOW_S) -> bytes:
        attempt = self.request(name)
        _, challenge = registrar.challenge(attempt.payload, self.identity.ueid, now_s)
        return registrar.accept(self.answer(attempt, challenge), self.identity.ueid, now_s, "test")[1]


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[Factory]:
    with ExitStack() as stack:
        yield Factory(tmp_path, stack)


def refused(reason: Reason) -> "pytest.RaisesExc[PeerError]":
    return pytest.RaisesExc(PeerError, check=lambda error: error.reason is reason)


@pytest.mark.parametrize("algorithm", ["ecc", "rsa"])
def test_a_genuine_device_gets_an_endorsement(factory: Factory, algorithm: str) -> None:
    device = Attester(factory.tpm(), ak_algorithm=algorithm)
    attempt = device.request("device-1")
    registrar = factory.registrar()
    ueid, challenge = registrar.challenge(attempt.payload, device.identity.ueid, NOW_S)
    assert ueid == device.identity.ueid
    _, payload = registrar.accept(device.answer(attempt, challenge), ueid, NOW_S, "test")
    outcome, endorsement = read_outcome(attempt, payload, KEYS, device.identity)
    assert outcome.reason == ""
    assert endorsement is not None
    assert (endorsement.genuine, endorsement.group) == (Genuine.EK_CERTIFICATE, "factory")
