"""Signs results with a test key, and reads results in the way the product does."""

from collections import Counter
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key

from relying_party.result_board import ResultBoard, Standing, result_keys
from schemas import media_types
from schemas.codecs import cmw, cose, jws
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.media_types import Indicator
from schemas.messages.result import AttestationResult, to_claims
from schemas.topics import TopicKind, Topics
from schemas.verdicts import Freshness, Tier, TrustClaim

TOPICS: Final = Topics()
NOW_S: Final = 1_800_000_000
ALICE: Final = Ueid(b"\x01" + b"a" * 32)
BOB: Final = Ueid(b"\x01" + b"b" * 32)
VERIFIER_KEY: Final = derive_private_key(7, SECP256R1())
STRANGERS_KEY: Final = derive_private_key(8, SECP256R1())

AFFIRMING: Final = AttestationResult(
    ueid=ALICE,
    environment=b"\x00\x0b" + bytes(32),
    status=Tier.AFFIRMING,
    freshness=Freshness.FRESH,
    reasons=(),
    vector={TrustClaim.INSTANCE_IDENTITY: 2},
    issued_s=NOW_S,
    expires_s=NOW_S + 60,
    verifier="verifier-1",
    received_us=NOW_S * 1_000_000,
)


def result_about(ueid: Ueid = ALICE, **changes: object) -> AttestationResult:
    """An affirming result with ``changes``."""
    return replace(AFFIRMING, ueid=ueid, **changes)  # type: ignore[arg-type]  # a test names fields that exist


def message_of(result: AttestationResult, key: EllipticCurvePrivateKey = VERIFIER_KEY) -> bytes:
    """The payload in which a verifier with ``key`` publishes ``result``."""
    token = jws.sign(to_claims(result, "tests", "1"), key, cose.key_id(key.public_key()).hex())
    return cmw.wrap(media_types.RESULT, token, Indicator.ATTESTATION_RESULTS)


class RecordingRelyingParty:
    """Takes the messages that a verifier under test publishes, as the broker would deliver them.

    Attributes:
        seen: every result that verified, in order.
        refused: how many messages did not, by reason code.
    """

    def __init__(self, *keys: EllipticCurvePrivateKey) -> None:
        """Trusts the public halves of ``keys``, of :data:`VERIFIER_KEY` if there are none."""
        public = [key.public_key() for key in keys or (VERIFIER_KEY,)]
        self.board: Final = ResultBoard(result_keys({cose.key_id(key): key for key in public}))
        self.seen: Final[list[AttestationResult]] = []
        self.refused: Final[Counter[str]] = Counter()

    def receive(self, topic: str, payload: bytes, now_s: int = NOW_S) -> None:
        """Takes one message; ignores messages of other topics."""
        if TOPICS.kind_of(topic) is not TopicKind.RESULTS:
            return
        try:
            self.seen.append(self.board.apply(topic, payload, now_s).result)
        except PeerError as error:
            self.refused[error.reason] += 1

    def standing(self, ueid: Ueid, now_s: int = NOW_S) -> Standing | None:
        """The standing of an attester."""
        return self.board.standing(ueid, now_s)
