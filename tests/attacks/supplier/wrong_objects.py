"""An endorser's key signs what it should not: keys that no TPM keeps, sets and policies that ask nothing."""

from collections.abc import Callable

from schemas.hashes import SHA256
from schemas.identifiers import ueid_text
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import sign_reference_values
from schemas.reasons import Reason
from schemas.topics import TopicKind
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_call, of_result
from tests.worlds.device import FakeDevice, make_endorsement, make_references
from tests.worlds.recorded_verifier import POLICY
from tests.worlds.verifier import Verifying

KEYS = Kind(by=Attacker.SUPPLIER, goal="have evidence taken from a key that no TPM keeps", layer=Layer.COMPONENT)
EMPTY = Kind(by=Attacker.SUPPLIER, goal="have devices affirmed without anything being asked", layer=Layer.COMPONENT)


def _with(raw: bytes, cleared: int = 0, added: int = 0) -> bytes:
    attributes = int.from_bytes(raw[4:8], "big") & ~cleared | added
    return raw[:4] + attributes.to_bytes(4, "big") + raw[8:]


def signs_anything(raw: bytes) -> bytes:
    """it is not restricted, and signs anything."""
    return _with(raw, cleared=1 << 16)


def leaves_its_tpm(raw: bytes) -> bytes:
    """it is not fixed to its TPM."""
    return _with(raw, cleared=1 << 1)


def made_elsewhere(raw: bytes) -> bytes:
    """its secret part was made outside of the TPM."""
    return _with(raw, cleared=1 << 5)


def decrypts(raw: bytes) -> bytes:
    """it decrypts, too."""
    return _with(raw, added=1 << 17)


@KEYS.ways("refused", moves=(signs_anything, leaves_its_tpm, made_elsewhere, decrypts))
def endorsed_key(scene: Scene, move: Callable[[bytes], bytes]) -> Seen:
    """The endorser endorses an attesting key of which"""
    verifying = scene.verifier()
    loose = FakeDevice(label=b"loose")
    loose.raw_public = move(loose.raw_public)

    def endorse() -> None:
        vouched = make_endorsement(loose.ueid, loose.public)
        raw = sign_endorsement(vouched, loose.raw_public, verifying.endorser)
        verifying.take(TopicKind.ENDORSEMENTS, ueid_text(loose.ueid), raw)

    return of_call(endorse)


def _values(verifying: Verifying, **changes: object) -> bytes:
    return sign_reference_values(make_references(verifying.device, version=9, **changes), verifying.endorser)


def no_values(verifying: Verifying) -> bytes:
    """holds no values."""
    return _values(verifying, registers={}, files={})


def bank_without_pcrs(verifying: Verifying) -> bytes:
    """holds a bank without PCRs."""
    return _values(verifying, registers={SHA256: {}}, files={})


def pcr_without_values(verifying: Verifying) -> bytes:
    """holds a PCR for which no value is acceptable."""
    return _values(verifying, registers={SHA256: {0: frozenset()}}, files={})


@EMPTY.ways("refused", code=Reason.MALFORMED, moves=(no_values, bank_without_pcrs, pcr_without_values))
def set_of_reference_values(scene: Scene, move: Callable[[Verifying], bytes]) -> Seen:
    """A set of reference values"""
    verifying = scene.verifier()
    return of_call(lambda: verifying.take(TopicKind.REFERENCE_VALUES, "good", move(verifying)))


@EMPTY.attack("none", code=Reason.REFERENCE_VALUES_MISSING)
def set_that_has_ended(scene: Scene) -> Seen:
    """The set that the policy names has ended."""
    verifying = scene.verifier()
    now_s = verifying.now_us // 1_000_000
    verifying.take(TopicKind.REFERENCE_VALUES, "good", _values(verifying, not_after_s=now_s + 5))
    verifying.pass_s(10)
    return of_result(verifying.push())


def no_pcrs(text: str) -> str:
    """asks for no PCR."""
    return text.replace('"sha256:0-10"', '""')


def log_of_a_pcr_that_it_does_not_ask_for(text: str) -> str:
    """gives a log a PCR that it does not ask for."""
    return text.replace('"sha256:0-10"', '"sha256:0-9"')


def excludes_everything(text: str) -> str:
    """excludes every path of the IMA list."""
    return text + 'exclude = ["/*"]\n'


def weighs_a_bad_file_as_nothing(text: str) -> str:
    """lets a file that nobody knows count for nothing."""
    return text + '[weights]\nfile-unexpected = "told"\n'


def forgives_old_evidence(text: str) -> str:
    """lets old evidence count for nothing."""
    return text + '[weights]\nevidence-too-old = "told"\n'


@EMPTY.ways(
    "refused",
    code=Reason.POLICY_INVALID,
    moves=(
        no_pcrs,
        log_of_a_pcr_that_it_does_not_ask_for,
        excludes_everything,
        weighs_a_bad_file_as_nothing,
        forgives_old_evidence,
    ),
)
def policy(scene: Scene, move: Callable[[str], str]) -> Seen:
    """A signed policy"""
    verifying = scene.verifier()
    now_s = verifying.now_us // 1_000_000
    text = move(POLICY.replace('id = "test"', 'id = "lax"').replace("version = 1\n", ""))
    made = SignedPolicy(id="lax", version=1, signer="e", not_before_s=now_s - 9, not_after_s=now_s + 9999, text=text)
    return of_call(lambda: verifying.take(TopicKind.POLICIES, "lax", sign_policy(made, verifying.endorser)))
