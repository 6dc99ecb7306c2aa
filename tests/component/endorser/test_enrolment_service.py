"""The enrolment service on a registry in a file, and a transport that forgets, refuses or keeps silent."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import REGISTRY

from endorser.adapters.registry import Registry
from endorser.adapters.statement_file import StatementFile
from endorser.adapters.vendor_files import load_vendors
from endorser.core.enrolment import Decision, Device, Endorsed, Standing, examine
from endorser.enrolment_service import MAX_PAYLOAD_BYTES, EnrolmentService, Inbox
from endorser.registrar import Registrar
from endorser.settings import LimitSettings, Settings, VendorSettings
from endorser.stating import Stating
from runtime.monitoring.health import Health
from runtime.mqtt import Message, Will
from schemas import media_types
from schemas.codecs import cmw, cose
from schemas.errors import ConfigError
from schemas.identifiers import Ueid
from schemas.messages.enrolment import (
    Activation,
    ChallengeDigest,
    EnrolmentRequest,
    Outcome,
    encode_activation,
    encode_request,
    request_digest,
    verify_challenge,
    verify_outcome,
)
from schemas.reasons import Reason
from schemas.topics import Topics
from tests.builders.ek_authority import NOW_S, Authority
from tests.builders.enrolment_request import request_of, ueid_of
from tests.fakes.endorser import Wire

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
EK = ec.generate_private_key(ec.SECP256R1()).public_key()
UEID = ueid_of(EK)
TOPICS = Topics()
Ending = Callable[[Device | None, Endorsed | None], Endorsed | None]
ROOT = Authority("root")


class Desk:
    """A service with its parts."""

    def __init__(self, folder: Path, **limits: int) -> None:
        (folder / "root.pem").write_bytes(ROOT.pem())
        self.settings = settings = Settings(
            signing_key=Path("unused"),
            registry=folder / "registry.db",
            vendors=VendorSettings(roots={"acme": folder / "root.pem"}),
        )
        self.registry = Registry(settings.registry)
        self.registrar = Registrar(settings, load_vendors(settings.vendors), KEY, self.registry)
        self.wire = Wire()
        self.statements = StatementFile(folder / "endorser.statement", KEY, "endorser")
        online = Will(topic="status", payload=b"")
        self.service = EnrolmentService(
            self.registrar,
            self.registry,
            self.wire,
            TOPICS,
            LimitSettings(**limits),
            online,
            Health("endorser", monotonic_s=lambda: 0.0),
            Stating(self.statements, self.registry, self.wire, TOPICS, 600),
        )

    def say(self, payload: bytes, ueid: Ueid = UEID) -> None:
        self.service.handle(TOPICS.enrol(ueid), payload, NOW_S, 0.0)

    def outcomes(self) -> list[Outcome]:
        return [
            verify_outcome(cmw.unwrap(payload, media_types.ENROLMENT_OUTCOME, None), KEYS)
            for _, payload in self.wire.sent
            if cmw.unverified_type(payload) == media_types.ENROLMENT_OUTCOME
        ]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.registry.close()


def payload(request: EnrolmentRequest | None = None) -> bytes:
    chosen = request_of(ROOT, EK) if request is None else request
    return cmw.wrap(media_types.ENROLMENT_REQUEST, encode_request(chosen), None)


def test_a_request_is_answered_on_the_topic_of_the_device(desk: Desk) -> None:
    desk.say(payload())
    ((topic, answer),) = desk.wire.sent
    assert topic == TOPICS.enrolment(UEID)
    challenge = verify_challenge(cmw.unwrap(answer, media_types.ENROLMENT_CHALLENGE, None), KEYS)
    assert challenge.ueid == UEID
    assert challenge.expires_s == NOW_S + LimitSettings().challenge_lifetime_s


def test_a_refusal_names_the_request_and_the_reason(desk: Desk) -> None:
    strange = request_of(Authority("stranger"), EK)
    desk.say(payload(strange))
    (outcome,) = desk.outcomes()
    assert outcome.reason == Reason.EK_CERTIFICATE_UNTRUSTED
    assert outcome.request == request_digest(encode_request(strange))


def test_an_activation_out_of_the_blue_is_told_so(desk: Desk) -> None:
    made = Activation(request=request_digest(b""), challenge=ChallengeDigest(bytes(32)), proof=bytes(32))
    desk.say(cmw.wrap(media_types.ENROLMENT_ACTIVATION, encode_activation(made), None))
    assert [outcome.reason for outcome in desk.outcomes()] == [Reason.ACTIVATION_UNSOLICITED]


@pytest.mark.parametrize(
    ("payload_", "reason"),
    [
        (b"", Reason.MALFORMED),
        (cmw.wrap(media_types.STATUS, b"", None), Reason.UNKNOWN_MEDIA_TYPE),
        (bytes(MAX_PAYLOAD_BYTES + 1), Reason.TOO_LARGE),
    ],
)
def test_what_is_no_request_is_counted_by_its_reason(desk: Desk, payload_: bytes, reason: Reason) -> None:
    counter = ("attestream_enrolments_total", {"outcome": reason.value})
    before = REGISTRY.get_sample_value(*counter) or 0.0
    desk.say(payload_)
    assert (REGISTRY.get_sample_value(*counter) or 0.0) - before == 1


@pytest.mark.parametrize("noise", [b"", b"\x80", b"x" * 100, cmw.wrap(media_types.STATUS, b"", None)])
def test_noise_is_not_answered(desk: Desk, noise: bytes) -> None:
    desk.say(noise)
    desk.service.handle(f"{TOPICS.root}/enrol/not a ueid", payload(), NOW_S, 0.0)
    assert desk.wire.sent == []


def test_one_topic_is_answered_so_often(tmp_path: Path) -> None:
    desk = Desk(tmp_path, device_burst=2)
    for _ in range(5):
        desk.say(payload())
    assert len(desk.wire.sent) == 2
    desk.registry.close()


def test_the_inbox_drops_what_does_not_fit() -> None:
    inbox = Inbox()
    for size in (MAX_PAYLOAD_BYTES + 1, *[1] * 2000):
        inbox.message(Message(topic="t", payload=bytes(size), retained=False, packet_id=0, connection=1))
    sizes = []
    while (message := inbox.next_message(0.0)) is not None:
        sizes.append(len(message.payload))
    assert len(sizes) == 1000
    assert set(sizes) == {1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"nothing", "expected certificates"),
        (b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "expected certificates"),
    ],
)
def test_a_vendor_file_that_is_none_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "root.pem").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"vendors\.roots: .*root\.pem: {words}"):
        load_vendors(VendorSettings(roots={"acme": tmp_path / "root.pem"}))


def test_a_certificate_of_a_strange_version_ends_nothing(desk: Desk) -> None:
    asking = request_of(ROOT, EK)
    assert asking.certificate is not None
    strange = asking.certificate.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
    desk.say(payload(replace(asking, certificate=strange)))
    assert [outcome.reason for outcome in desk.outcomes()] == [Reason.MALFORMED]


def test_a_renewal_beside_it_does_not_outlive_a_revocation(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device renews as often as it may; the operator's command was started a moment before the last time."""

    def enrol(now_s: int) -> int:
        raw = encode_request(request_of(ROOT, EK))
        candidate = examine(raw, load_vendors(desk.settings.vendors), NOW_S)
        before = desk.registry.device(UEID)
        version = max(now_s, 0 if before is None else before.version + 1)
        made = Endorsed(
            ueid=UEID,
            version=version,
            ak_name=candidate.ak.name,
            ak_public=candidate.ak.raw,
            genuine=candidate.genuine,
            not_after_s=NOW_S + 1000,
            signed=b"renewed",
        )
        desk.registry.admit(candidate, made, None, Decision(at_s=now_s, ueid=UEID, action="renewed", who="test"))
        return version

    enrol(NOW_S)
    started_s = NOW_S + 50
    change = Registry.change_standing

    def late(registry: Registry, standing: Standing, decision: Decision, end: Ending) -> Endorsed | None:
        enrol(started_s + 1)
        return change(registry, standing, decision, end)

    monkeypatch.setattr(Registry, "change_standing", late)
    ended = desk.registrar.change_standing(UEID, Standing.REVOKED, started_s, "alice", "stolen")
    assert ended is not None
    ((_, version, signed),) = desk.registry.unpublished()
    assert (version, signed) == (started_s + 2, ended)
