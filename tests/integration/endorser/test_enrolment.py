"""Enrolment with real TPMs: EK certificates of swtpm_localca in NV, TPM2_ActivateCredential, ways to be refused."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from attester_agent.enrolment import Enrolling, answer_challenge, make_request, read_outcome
from attester_agent.ports import Identity
from attester_agent.settings import TpmSettings
from attester_agent.tpm.device import TpmDevice
from attester_agent.tpm.enrolment import TpmEnrolment
from endorser.adapters.registry import Registry
from endorser.adapters.vendor_files import load_vendors
from endorser.core.enrolment import Standing
from endorser.registrar import Registrar
from endorser.settings import ApprovalSettings, Settings, VendorSettings
from schemas import media_types
from schemas.codecs import cmw, cose
from schemas.codecs.tst_info import TstInfo
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.identifiers import ueid_text
from schemas.messages.endorsement import Genuine, verify_endorsement
from schemas.messages.enrolment import Activation, challenge_digest, encode_activation, request_digest
from schemas.reasons import Reason
from schemas.topics import TopicKind
from schemas.tpm.endorsement_key import split_certificates
from tests.programs.swtpm import Swtpm
from tests.programs.vendor_tpm import Vendor, make_vendor, revocation_list, vendor_tpm
from tests.worlds.device import make_policy
from verifier_worker.adapters.loaded_files import compile_policy
from verifier_worker.adapters.state_store import SqliteStateStore
from verifier_worker.adapters.trust_store import TrustStore
from verifier_worker.core.policy.in_force import Policies

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

    def registrar(
        self,
        *,
        vendor: Vendor | None = None,
        automatic: bool = True,
        folder: str = ".",
        revocations: tuple[Path, ...] = (),
    ) -> Registrar:
        trusted = vendor or self.vendor
        settings = Settings(
            signing_key=Path("unused"),
            registry=self.folder / folder / "registry.db",
            vendors=VendorSettings(
                roots={"swtpm": trusted.root}, intermediates=(trusted.intermediate,), revocations=revocations
            ),
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
    return pytest.raises(PeerError, check=lambda error: error.reason is reason)


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


def test_a_vendor_that_the_operator_does_not_know_is_refused(factory: Factory) -> None:
    device = Attester(factory.tpm())
    stranger = make_vendor(factory.folder / "stranger")
    factory.tpm(stranger)
    with refused(Reason.EK_CERTIFICATE_UNTRUSTED):
        device.enrol(factory.registrar(vendor=stranger))


def test_the_certificate_of_another_tpm_is_refused(factory: Factory) -> None:
    device, other = Attester(factory.tpm()), Attester(factory.tpm())
    certificate = other.tpm.certificate()
    assert certificate is not None
    attempt = make_request(device.tpm, device.identity, bytes(16), None, split_certificates(certificate)[:1])
    with refused(Reason.EK_CERTIFICATE_MISMATCH):
        factory.registrar().challenge(attempt.payload, device.identity.ueid, NOW_S)


def test_an_attesting_key_of_another_tpm_cannot_be_activated(factory: Factory) -> None:
    device, other = Attester(factory.tpm()), Attester(factory.tpm())
    attempt = make_request(device.tpm, replace(device.identity, public=other.identity.public), bytes(16))
    registrar = factory.registrar()
    ueid, challenge = registrar.challenge(attempt.payload, None, NOW_S)
    for liar in (device, other):
        with pytest.raises(WorldError, match="activate-credential"):
            liar.answer(replace(attempt, ueid=ueid), challenge)


def test_a_device_that_makes_the_proof_up_is_refused(factory: Factory) -> None:
    device = Attester(factory.tpm())
    attempt, registrar = device.request(), factory.registrar()
    _, challenge = registrar.challenge(attempt.payload, None, NOW_S)
    raw = cmw.unwrap(challenge, media_types.ENROLMENT_CHALLENGE, None)
    made_up = Activation(request=request_digest(attempt.raw), challenge=challenge_digest(raw), proof=bytes(32))
    payload = cmw.wrap(media_types.ENROLMENT_ACTIVATION, encode_activation(made_up), None)
    with refused(Reason.ACTIVATION_FAILED):
        registrar.accept(payload, None, NOW_S, "test")
    assert registrar.accept(device.answer(attempt, challenge), None, NOW_S, "test"), "it can still be answered truly"


def test_an_activation_counts_once(factory: Factory) -> None:
    device = Attester(factory.tpm())
    attempt, registrar = device.request(), factory.registrar()
    _, challenge = registrar.challenge(attempt.payload, None, NOW_S)
    activation = device.answer(attempt, challenge)
    registrar.accept(activation, None, NOW_S, "test")
    with refused(Reason.ACTIVATION_REPLAYED):
        registrar.accept(activation, None, NOW_S, "test")


def test_an_activation_that_nobody_asked_for_is_refused(factory: Factory) -> None:
    device = Attester(factory.tpm())
    attempt, registrar = device.request(), factory.registrar()
    _, challenge = registrar.challenge(attempt.payload, None, NOW_S)
    activation = device.answer(attempt, challenge)
    (factory.folder / "elsewhere").mkdir()
    elsewhere = factory.registrar(folder="elsewhere")
    with refused(Reason.ACTIVATION_UNSOLICITED):
        elsewhere.accept(activation, None, NOW_S, "test")


def test_a_late_activation_is_refused(factory: Factory) -> None:
    device = Attester(factory.tpm())
    attempt, registrar = device.request(), factory.registrar()
    _, challenge = registrar.challenge(attempt.payload, None, NOW_S)
    activation = device.answer(attempt, challenge)
    with refused(Reason.CHALLENGE_EXPIRED):
        registrar.accept(activation, None, NOW_S + 301, "test")


def test_a_challenge_of_a_stranger_is_not_answered(factory: Factory) -> None:
    device = Attester(factory.tpm())
    attempt = device.request()
    _, challenge = factory.registrar().challenge(attempt.payload, None, NOW_S)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    with refused(Reason.OBJECT_SIGNATURE_INVALID):
        answer_challenge(attempt, challenge, {cose.key_id(stranger): stranger}, device.tpm)


def test_a_second_tpm_does_not_get_the_name_of_the_first(factory: Factory) -> None:
    first, second, registrar = Attester(factory.tpm()), Attester(factory.tpm()), factory.registrar()
    first.enrol(registrar, "device-1")
    with refused(Reason.NAME_TAKEN):
        second.enrol(registrar, "device-1")
    with refused(Reason.NAME_TAKEN):
        first.enrol(registrar, "device-2")
    second.enrol(registrar, "device-2")


def test_a_new_key_of_the_same_tpm_replaces_the_old_one(factory: Factory) -> None:
    tpm, registrar = factory.tpm(), factory.registrar()
    old = Attester(tpm)
    new = Attester(tpm, ak_algorithm="rsa", ak_handle=0x8102_0001)
    versions = []
    for device in (old, new):
        attempt = device.request("device-1")
        _, challenge = registrar.challenge(attempt.payload, None, NOW_S)
        _, payload = registrar.accept(device.answer(attempt, challenge), None, NOW_S, "test")
        _, endorsement = read_outcome(attempt, payload, KEYS, device.identity)
        assert endorsement is not None
        versions.append((endorsement.version, endorsement.attesting_key.name))
    assert versions == [(NOW_S, old.identity.environment), (NOW_S + 1, new.identity.environment)]


@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        (Standing.REVOKED, Reason.ATTESTING_KEY_REVOKED),
        (Standing.DECOMMISSIONED, Reason.ATTESTER_DECOMMISSIONED),
        (Standing.REJECTED, Reason.ENROLMENT_REJECTED),
    ],
)
def test_who_was_sent_away_comes_back_only_by_an_operator(factory: Factory, standing: Standing, reason: Reason) -> None:
    device, registrar = Attester(factory.tpm()), factory.registrar()
    device.enrol(registrar)
    ended = registrar.change_standing(device.identity.ueid, standing, NOW_S + 10, "operator", "why")
    assert ended is not None
    last = verify_endorsement(ended, KEYS)
    assert (last.version, last.not_after_s) == (NOW_S + 10, NOW_S + 9)
    with refused(reason):
        device.enrol(registrar, now_s=NOW_S + 20)
    registrar.change_standing(device.identity.ueid, Standing.ADMITTED, NOW_S + 30, "operator", "why")
    device.enrol(registrar, now_s=NOW_S + 40)


def test_an_operator_approves_where_no_rule_does(factory: Factory) -> None:
    device, registrar = Attester(factory.tpm()), factory.registrar(automatic=False)
    attempt = device.request("device-1")
    _, challenge = registrar.challenge(attempt.payload, None, NOW_S)
    _, payload = registrar.accept(device.answer(attempt, challenge), None, NOW_S, "test")
    outcome, endorsement = read_outcome(attempt, payload, KEYS, device.identity)
    assert (outcome.reason, endorsement) == (Reason.ENROLMENT_PENDING, None)
    with pytest.raises(ConfigError, match="has sent another one since") as other:
        registrar.approve(device.identity.ueid, NOW_S + 5, "alice", request="0" * 16)
    (label,) = re.findall(r"since, ([0-9a-f]{16});", other.value.detail)
    _, payload, whom = registrar.approve(device.identity.ueid, NOW_S + 5, "alice", request=label)
    assert whom.startswith("device-1, TPM ")
    _, endorsement = read_outcome(attempt, payload, KEYS, device.identity)
    assert endorsement is not None
    with pytest.raises(ConfigError, match="not pending"):
        registrar.approve(device.identity.ueid, NOW_S + 5, "alice")


def test_a_request_on_another_devices_topic_is_refused(factory: Factory) -> None:
    device, other = Attester(factory.tpm()), Attester(factory.tpm())
    with refused(Reason.UEID_MISMATCH):
        factory.registrar().challenge(device.request().payload, other.identity.ueid, NOW_S)


def test_a_certificate_on_its_issuers_list_is_refused(factory: Factory) -> None:
    device = Attester(factory.tpm())
    issuer = x509.load_pem_x509_certificate(factory.vendor.intermediate.read_bytes())
    raw = device.tpm.certificate()
    assert raw is not None
    serial = x509.load_der_x509_certificate(split_certificates(raw)[0]).serial_number
    revoked = factory.folder / "revoked.crl"
    revoked.write_bytes(revocation_list(issuer, factory.vendor.intermediate_key.read_bytes(), (serial,), NOW_S))
    with refused(Reason.EK_CERTIFICATE_REVOKED):
        device.enrol(factory.registrar(revocations=(revoked,)))


class NoStamps:
    """Refuses every stamp."""

    def verify_stamp(self, token: bytes, imprint: bytes) -> TstInfo:
        raise PeerError(Reason.HANDLE_STAMP_INVALID, f"{len(token)} {len(imprint)}")


def test_a_verifier_believes_the_endorsement_until_it_is_withdrawn(factory: Factory) -> None:
    device, registrar = Attester(factory.tpm()), factory.registrar()
    attempt = device.request()
    _, challenge = registrar.challenge(attempt.payload, None, NOW_S)
    _, payload = registrar.accept(device.answer(attempt, challenge), None, NOW_S, "test")
    given = read_outcome(attempt, payload, KEYS, device.identity)[0].endorsement
    ended = registrar.change_standing(device.identity.ueid, Standing.REVOKED, NOW_S + 9, "alice", "stolen")
    assert given is not None
    assert ended is not None
    store = SqliteStateStore(factory.folder / "verifier.db")
    trust = TrustStore(
        store, endorsers=KEYS, distributors=KEYS, stamps=NoStamps(), policies=Policies(make_policy(), compile_policy)
    )
    name = ueid_text(device.identity.ueid)
    ends = []
    for signed in (given, ended):
        assert trust.accept(TopicKind.ENDORSEMENTS, name, signed, NOW_S * 1_000_000)
        in_force = trust.trust(NOW_S * 1_000_000).endorsed[device.identity.ueid]
        assert in_force.name == device.identity.environment
        ends.append(in_force.endorsement.not_after_s)
    assert ends == [NOW_S + 365 * 86_400, NOW_S + 8]
    fresh = SqliteStateStore(factory.folder / "other.db")
    other = TrustStore(
        fresh, endorsers=KEYS, distributors=KEYS, stamps=NoStamps(), policies=Policies(make_policy(), compile_policy)
    )
    other.accept(TopicKind.ENDORSEMENTS, name, ended, NOW_S * 1_000_000)
    with refused(Reason.OBJECT_ROLLED_BACK):
        other.accept(TopicKind.ENDORSEMENTS, name, given, NOW_S * 1_000_000)
    store.close()
    fresh.close()
