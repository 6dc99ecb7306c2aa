"""The library and the commands of a relying party with files: key sets, rollover, and the answers of ``check``."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from relying_party import Results, background_check
from relying_party.__main__ import main as relying_party
from runtime.clock import utc_s
from runtime.keys import load_public_keys, load_signing_key
from runtime.mqtt import Message, MqttSettings, Session
from schemas import media_types
from schemas.codecs import cmw
from schemas.codecs.jwks import parse_jwks
from schemas.errors import ConfigError, PeerError
from schemas.identifiers import HandleId, Ueid, ueid_text
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.evidence import encode_evidence
from schemas.messages.passport_proof import PassportProof, encode_proof, qualifying_data
from schemas.messages.result_token import ResultFormat, ResultSigner
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import ALICE, BOB, result_about
from tests.worlds.device import FakeDevice, make_handle
from verifier_worker.__main__ import main as verifier

CHALLENGE = bytes(range(32))


def make_key(folder: Path, name: str) -> EllipticCurvePrivateKey:
    assert verifier(["keygen", "--out", str(folder / f"{name}.key")]) == 0
    return load_signing_key(folder / f"{name}.key")


def token_by(
    key: EllipticCurvePrivateKey, form: ResultFormat = ResultFormat.JWT, *, ueid: Ueid = ALICE, **changes: object
) -> bytes:
    """A result issued now."""
    now_s = utc_s()
    result = result_about(
        ueid,
        **{
            "issued_s": now_s,
            "expires_s": now_s + 60,
            "handle": HandleId(bytes(32)),
            "policies": ("fleet/3",),
            "made_after_us": (now_s - 5) * 1_000_000,
            **changes,
        },
    )
    return ResultSigner(key, "tests", "1", form).sign(result)


def test_keygen_writes_both_forms_of_the_public_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_key(tmp_path, "v")
    assert "v.jwks" in capsys.readouterr().out
    ids = [set(load_public_keys([tmp_path / name])) for name in ("v.pub", "v.jwks")]
    assert ids[0] == ids[1]
    assert verifier(["keygen", "--out", str(tmp_path / "v.key")]) == 2


def test_a_rollover_from_one_key_to_the_next(tmp_path: Path) -> None:
    key_set = tmp_path / "set.jwks"
    old, new = make_key(tmp_path, "old"), make_key(tmp_path, "new")
    jwks = ["jwks", "--out", str(key_set)]
    assert verifier([*jwks, str(tmp_path / "old.pub")]) == 0
    results = Results.from_files(key_set)
    assert results.verify(token_by(old)).affirming
    with pytest.raises(PeerError) as refused:
        results.verify(token_by(new))
    assert refused.value.reason == Reason.RESULT_SIGNATURE_INVALID
    assert verifier([*jwks, str(key_set), str(tmp_path / "new.jwks")]) == 0
    results.reload()
    for form in ResultFormat:
        assert results.verify(token_by(old, form)).affirming
        assert results.verify(token_by(new, form)).affirming
    assert verifier([*jwks, str(tmp_path / "new.pub")]) == 0
    assert len(parse_jwks(key_set.read_bytes())) == 1
    results.reload()
    with pytest.raises(PeerError):
        results.verify(token_by(old))


def test_a_key_file_that_is_broken_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    key = make_key(tmp_path, "v")
    results = Results.from_files(tmp_path / "v.jwks")
    (tmp_path / "v.jwks").write_text('{"keys": []}')
    with pytest.raises(ConfigError, match=r"v\.jwks: JWKS: it holds no P-256 key"):
        results.reload()
    assert results.verify(token_by(key)).affirming


def test_what_is_expected_is_said_once(tmp_path: Path) -> None:
    key = make_key(tmp_path, "v")
    results = Results.from_files(tmp_path / "v.pub", policies=["fleet/3"], max_age_s=60, fresh_only=True, leeway_s=1)
    assert results.verify(result_token.wrap(token_by(key, ResultFormat.CWT)), ueid=ALICE).affirming
    with pytest.raises(PeerError) as refused:
        results.verify(token_by(key, policies=("other/1",)))
    assert refused.value.reason == Reason.RESULT_POLICY_UNKNOWN


@pytest.mark.parametrize("form", ResultFormat)
def test_a_passport_with_its_proof(tmp_path: Path, form: ResultFormat) -> None:
    key, device = make_key(tmp_path, "v"), FakeDevice()
    token = token_by(key, form, environment=device.public.name)
    attest, signature = device.quote(qualifying_data(token, CHALLENGE))
    proof = encode_proof(PassportProof(attest=attest, signature=signature, public=device.raw_public))
    results = Results.from_files(tmp_path / "v.pub")
    assert results.verify_passport(token, CHALLENGE, proof).affirming
    assert results.verify_passport(result_token.wrap(token), CHALLENGE, proof).affirming
    with pytest.raises(PeerError) as refused:
        results.verify_passport(token, bytes(32), proof)
    assert refused.value.reason == Reason.RESULT_PROOF_INVALID


def check(folder: Path, token: bytes, *options: str) -> int:
    (folder / "token").write_bytes(token)
    return relying_party(["check", str(folder / "token"), "--verifier-key", str(folder / "v.pub"), *options])


def test_check_says_what_a_token_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = make_key(tmp_path, "v")
    capsys.readouterr()
    assert check(tmp_path, token_by(key) + b"\n", "--policy", "fleet/3", "--max-age", "60", "--fresh", "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "affirming"
    bad = token_by(key, status=Tier.CONTRAINDICATED, vector={TrustClaim.EXECUTABLES: 96}, reasons=("file-unexpected",))
    assert check(tmp_path, bad) == 1
    assert "contraindicated  file-unexpected" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--ueid", ueid_text(BOB)], 1, "error: result-of-another-attester"),
        (["--max-age", "1", "--leeway", "0"], 1, "error: result-too-old"),
        (["--policy", "mine/1"], 1, "error: result-policy-unknown"),
        (["--ueid", "?"], 2, "--ueid: ueid: not base64url"),
        (["--challenge", "00"], 2, "--challenge, --proof"),
        (["--challenge", "zz", "--proof", "nowhere"], 2, "--challenge: challenge: non-hex"),
        (["--challenge", "00" * 32, "--proof", "nowhere"], 2, "nowhere: No such file"),
        (["--config", "nowhere"], 2, "nowhere"),
    ],
)
def test_check_says_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], status: int, said: str
) -> None:
    assert check(tmp_path, token_by(make_key(tmp_path, "v")), *options) == status
    assert said in capsys.readouterr().err


def test_check_without_a_key_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert relying_party(["check", str(tmp_path / "token")]) == 2
    assert "--verifier-key: missing" in capsys.readouterr().err


class Broker:
    """Answers evidence with prepared messages."""

    answers: tuple[bytes, ...] = ()

    def __init__(self, mqtt: MqttSettings, session: Session, *, on_message: Callable[[Message], None]) -> None:
        """Connects to nothing."""
        self._topic, self._on_message = session.subscriptions[0], on_message
        assert mqtt.port

    def start(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""

    def wait_subscribed(self, seconds: float) -> bool:
        """At once."""
        return seconds > 0

    def publish(self, topic: str, payload: bytes) -> int:
        """Evidence: the verifier answers."""
        assert topic
        assert payload
        for answer in self.answers:
            self._on_message(Message(topic=self._topic, payload=answer, retained=False, packet_id=1, connection=1))
        return 1


def test_pending_is_waited_on_whatever_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its handle is unknown its age is unknown, so that is not an answer yet."""
    key, device = make_key(tmp_path, "v"), FakeDevice()
    device.sync(make_handle())
    evidence = device.push()

    def answer(**more: object) -> bytes:
        return result_token.wrap(
            token_by(key, ResultFormat.JWT, ueid=device.ueid, evidence=evidence.body_digest, **more)
        )

    pending = answer(status=Tier.NONE, vector={}, freshness=Freshness.PENDING, made_after_us=None)
    fresh = answer()
    payload = cmw.wrap(media_types.EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE)
    monkeypatch.setattr(background_check, "MqttConnection", Broker)
    for results, reason in (
        (Results.from_files(tmp_path / "v.pub", max_age_s=60.0), Reason.RESULT_TOO_OLD),
        (Results.from_files(tmp_path / "v.pub", fresh_only=True), Reason.RESULT_NOT_FRESH),
    ):
        monkeypatch.setattr(Broker, "answers", (pending, fresh))
        assert background_check.submit(MqttSettings(), results, payload).affirming
        monkeypatch.setattr(Broker, "answers", (pending,))
        with pytest.raises(PeerError) as refused:
            background_check.submit(MqttSettings(), results, payload, wait_s=0.05)
        assert refused.value.reason == reason
