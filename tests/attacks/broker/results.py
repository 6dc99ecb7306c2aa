"""Old, foreign and false results are shown to people and programs."""

import hmac
from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relying_party.attestation import Expectations, verify_attestation
from relying_party.result_board import ResultBoard
from schemas import media_types
from schemas.codecs import cmw, cose, jws
from schemas.identifiers import HandleId, b64url
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.result import AttestationResult, to_claims
from schemas.messages.result_token import ResultFormat, ResultSigner, result_keys
from schemas.messages.solicit import Solicit, sign_solicit
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_call, of_verdict
from tests.fakes.relying_party import (
    ALICE,
    BOB,
    NOW_S,
    STRANGERS_KEY,
    TOPICS,
    VERIFIER_KEY,
    message_of,
    result_about,
)
from tests.worlds.device import make_handle

OLD = Kind(by=Attacker.BROKER, goal="show a bad device as affirming by true results of another time or verifier")
FALSE = Kind(by=Attacker.STRANGER, goal="show a bad device as affirming by a result that no verifier signed")
SHOWN = Kind(by=Attacker.NEIGHBOUR, goal="be let in by a result that does not show what the relying party asks for")

KEYS = result_keys({cose.key_id(VERIFIER_KEY.public_key()): VERIFIER_KEY.public_key()})
TOPIC = TOPICS.results(ALICE)
BAD = result_about(
    issued_s=NOW_S + 1,
    received_us=(NOW_S + 1) * 1_000_000,
    status=Tier.CONTRAINDICATED,
    vector={TrustClaim.EXECUTABLES: 96},
    reasons=(Reason.FILE_UNEXPECTED.value,),
)


def _bad_board() -> ResultBoard:
    board = ResultBoard(KEYS)
    board.apply(TOPIC, message_of(BAD), NOW_S + 1)
    return board


def _standing(board: ResultBoard, now_s: int = NOW_S + 2) -> Seen:
    standing = board.standing(ALICE, now_s)
    return of_verdict(standing) if standing is not None else Seen(verdict="nothing shown")


@OLD.attack("refused", code=Reason.OBJECT_ROLLED_BACK)
def older_good_result_again(scene: Scene) -> Seen:
    """The good result of before is published again."""
    board = _bad_board()
    return of_call(lambda: board.apply(TOPIC, message_of(result_about()), NOW_S + 2))


@OLD.attack("refused", code=Reason.OBJECT_ROLLED_BACK)
def older_evidence_within_one_second(scene: Scene) -> Seen:
    """The good result is of the same second as the bad one, on evidence that was received before."""
    board = ResultBoard(KEYS)
    board.apply(TOPIC, message_of(replace(BAD, issued_s=NOW_S)), NOW_S)
    return of_call(lambda: board.apply(TOPIC, message_of(result_about()), NOW_S))


@OLD.attack("none", code=Reason.RESULT_EXPIRED)
def good_result_kept_on_the_topic(scene: Scene) -> Seen:
    """The good result stays on its retained topic, and nothing newer is let through."""
    board = ResultBoard(KEYS)
    board.apply(TOPIC, message_of(result_about()), NOW_S)
    return _standing(board, NOW_S + 61)


@OLD.attack("none", code=Reason.RESULT_EXPIRED)
def bad_result_expires(scene: Scene) -> Seen:
    """Nothing more is let through after the bad result: it must not read as good when it has expired."""
    return _standing(_bad_board(), NOW_S + 3600)


@OLD.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def other_verifier_is_shown_older_evidence_later(scene: Scene) -> Seen:
    """The good push is held back from a second verifier, which affirms it after the first found the next one bad."""
    board = _bad_board()
    late = result_about(verifier="verifier-2", issued_s=NOW_S + 20, expires_s=NOW_S + 80)
    board.apply(TOPIC, message_of(late), NOW_S + 20)
    return _standing(board, NOW_S + 21)


@OLD.attack("none", code=Reason.RESULT_EXPIRED)
def all_that_the_first_verifier_publishes_is_held_back(scene: Scene) -> Seen:
    """As before, and all results of the first verifier are held back until its bad one has expired."""
    board = ResultBoard(KEYS)
    made_us = NOW_S * 1_000_000
    board.apply(TOPIC, message_of(replace(BAD, made_after_us=made_us)), NOW_S + 1)
    late = result_about(
        verifier="verifier-2",
        issued_s=NOW_S + 20,
        expires_s=NOW_S + 80,
        received_us=(NOW_S + 20) * 1_000_000,
        made_after_us=made_us - 5_000_000,
    )
    board.apply(TOPIC, message_of(late), NOW_S + 20)
    return best_for_the_attacker(_standing(board, NOW_S + second) for second in (21, 60, 61, 79))


@OLD.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def other_verifier_is_shown_newer_evidence_of_less(scene: Scene) -> Seen:
    """A second verifier, which has seen a part of the log, says "affirming" about newer evidence."""
    board = _bad_board()
    newer = result_about(
        verifier="verifier-2", issued_s=NOW_S + 5, expires_s=NOW_S + 65, received_us=(NOW_S + 5) * 1_000_000
    )
    board.apply(TOPIC, message_of(newer), NOW_S + 5)
    return _standing(board, NOW_S + 6)


@OLD.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def bad_result_delivered_last(scene: Scene) -> Seen:
    """Two verifiers; the bad result is the older one, and is delivered after the good one."""
    board = ResultBoard(KEYS)
    good = result_about(
        verifier="verifier-2", issued_s=NOW_S + 5, expires_s=NOW_S + 65, received_us=(NOW_S + 5) * 1_000_000
    )
    board.apply(TOPIC, message_of(good), NOW_S + 5)
    board.apply(TOPIC, message_of(BAD), NOW_S + 6)
    return _standing(board, NOW_S + 6)


@OLD.attack("refused", code=Reason.RESULT_OF_ANOTHER_ATTESTER)
def result_of_a_good_neighbour(scene: Scene) -> Seen:
    """The true good result of another device is published on the bad one's topic."""
    board = _bad_board()
    return of_call(lambda: board.apply(TOPIC, message_of(result_about(BOB, issued_s=NOW_S + 5)), NOW_S + 5))


@OLD.attack("refused", code=Reason.RESULT_NOT_YET_VALID)
def result_of_next_year(scene: Scene) -> Seen:
    """A verifier's clock was a year ahead; its good result is published, to outlast all others."""
    board = _bad_board()
    ahead = result_about(issued_s=NOW_S + 31_536_000, expires_s=NOW_S + 31_536_060)
    return of_call(lambda: board.apply(TOPIC, message_of(ahead), NOW_S + 2))


def another_key() -> bytes:
    """by a key of the stranger's."""
    return message_of(result_about(issued_s=NOW_S + 5), STRANGERS_KEY)


def anothers_key_id() -> bytes:
    """by a key of the stranger's, under the verifier's key id."""
    token = jws.sign(to_claims(result_about(issued_s=NOW_S + 5), "x", "x"), STRANGERS_KEY, next(iter(KEYS)))
    return cmw.wrap(media_types.RESULT, token, Indicator.ATTESTATION_RESULTS)


def no_algorithm() -> bytes:
    """with the algorithm none, and no signature."""
    true = cmw.unwrap(message_of(result_about(issued_s=NOW_S + 5)), media_types.RESULT, Indicator.ATTESTATION_RESULTS)
    head = b"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"
    return cmw.wrap(media_types.RESULT, head + b"." + true.split(b".")[1] + b".", Indicator.ATTESTATION_RESULTS)


def changed_claims() -> bytes:
    """by the verifier, with the claims of another result under its signature."""
    bad = cmw.unwrap(message_of(BAD), media_types.RESULT, Indicator.ATTESTATION_RESULTS).split(b".")
    good = cmw.unwrap(message_of(result_about(issued_s=NOW_S + 5)), media_types.RESULT, Indicator.ATTESTATION_RESULTS)
    token = b".".join((bad[0], good.split(b".")[1], bad[2]))
    return cmw.wrap(media_types.RESULT, token, Indicator.ATTESTATION_RESULTS)


def public_key_as_a_secret() -> bytes:
    """with HS256, keyed with the verifier's public key."""
    public = VERIFIER_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    true = cmw.unwrap(message_of(result_about(issued_s=NOW_S + 5)), media_types.RESULT, Indicator.ATTESTATION_RESULTS)
    signed = b64url(b'{"alg":"HS256","kid":"%s"}' % next(iter(KEYS)).encode()).encode() + b"." + true.split(b".")[1]
    mac = b64url(hmac.digest(public, signed, "sha256")).encode()
    return cmw.wrap(media_types.RESULT, signed + b"." + mac, Indicator.ATTESTATION_RESULTS)


def another_key_as_cwt() -> bytes:
    """in CBOR, by a key of the stranger's."""
    signer = ResultSigner(STRANGERS_KEY, "tests", "1", ResultFormat.CWT)
    return result_token.wrap(signer.sign(result_about(issued_s=NOW_S + 5)))


def another_object_of_the_verifier() -> bytes:
    """that is a solicit, which the verifier signed."""
    asked = Solicit(ueid=ALICE, verifier="verifier-1", issued_us=NOW_S * 1_000_000, reason="x", full=True, logs={})
    return result_token.wrap(sign_solicit(asked, VERIFIER_KEY))


def no_result_at_all() -> bytes:
    """that is a message of another kind."""
    return cmw.wrap(media_types.EVIDENCE, b"x", Indicator.EVIDENCE)


def noise() -> bytes:
    """that is noise."""
    return b"\x83\xff"


@FALSE.ways(
    "refused",
    moves=(
        another_key,
        anothers_key_id,
        no_algorithm,
        changed_claims,
        public_key_as_a_secret,
        another_key_as_cwt,
        another_object_of_the_verifier,
        no_result_at_all,
        noise,
    ),
)
def result_signed(scene: Scene, move: Callable[[], bytes]) -> Seen:
    """A good result"""
    board = _bad_board()
    seen = of_call(lambda: board.apply(TOPIC, move(), NOW_S + 6))
    return best_for_the_attacker([seen, seen if _standing(board).verdict == "contraindicated" else _standing(board)])


GOOD = result_about(handle=HandleId(b"\x07" * 32), made_after_us=(NOW_S - 10) * 1_000_000, policies=("fleet/3",))


def _shown(expected: Expectations, now_s: float = NOW_S, **changes: object) -> Seen:
    """What a relying party says to a token that a device shows."""
    result = replace(GOOD, **changes)  # type: ignore[arg-type]  # fields by name
    token = ResultSigner(VERIFIER_KEY, "tests", "1").sign(result)

    def ask() -> AttestationResult:
        attestation = verify_attestation(token, KEYS, int(now_s * 1_000_000), expected, ueid=ALICE, handles=None)
        return attestation.result

    return of_call(ask)


@SHOWN.attack("refused", code=Reason.RESULT_OF_ANOTHER_ATTESTER)
def result_about_another_device(scene: Scene) -> Seen:
    """It shows the result of a good neighbour."""
    return _shown(Expectations(), ueid=BOB)


@SHOWN.attack("refused", code=Reason.RESULT_EXPIRED)
def yesterdays_result(scene: Scene) -> Seen:
    """It shows a good result of yesterday."""
    return _shown(Expectations(), now_s=NOW_S + 86_400)


@SHOWN.attack("refused", code=Reason.RESULT_NOT_YET_VALID)
def tomorrows_result(scene: Scene) -> Seen:
    """It shows a good result that begins tomorrow."""
    return _shown(Expectations(), issued_s=NOW_S + 86_400, expires_s=NOW_S + 86_460)


@SHOWN.attack("refused", code=Reason.RESULT_HANDLE_MISMATCH)
def result_without_a_handle(scene: Scene) -> Seen:
    """It shows a result that no handle dates."""
    return _shown(Expectations(), handle=None)


@SHOWN.attack("refused", code=Reason.RESULT_HANDLE_MISMATCH)
def result_of_a_handle_that_nobody_has_seen(scene: Scene) -> Seen:
    """It shows a result under a handle that the relying party has not verified."""
    token = ResultSigner(VERIFIER_KEY, "tests", "1").sign(GOOD)
    known = (make_handle(2, time_us=(NOW_S - 20) * 1_000_000),)
    return of_call(
        lambda: verify_attestation(token, KEYS, NOW_S * 1_000_000, Expectations(), ueid=ALICE, handles=known)
    )


@SHOWN.attack("refused", code=Reason.RESULT_POLICY_UNKNOWN)
def result_of_a_lax_policy(scene: Scene) -> Seen:
    """It shows a result by a laxer policy of the same verifier."""
    return _shown(Expectations(policies=("fleet/3",)), policies=("lax/1",))


@SHOWN.attack("refused", code=Reason.RESULT_POLICY_UNKNOWN)
def result_of_no_policy(scene: Scene) -> Seen:
    """It shows a result that no policy is named in."""
    return _shown(Expectations(policies=("fleet/3",)), policies=())


@SHOWN.attack("refused", code=Reason.RESULT_NOT_FRESH)
def result_that_is_stale(scene: Scene) -> Seen:
    """It shows a result on evidence that was late."""
    return _shown(Expectations(fresh_only=True), freshness=Freshness.STALE)


@SHOWN.attack("refused", code=Reason.RESULT_TOO_OLD)
def result_on_old_evidence(scene: Scene) -> Seen:
    """It shows a valid result on a quote of an hour ago."""
    return _shown(Expectations(max_age_s=60), made_after_us=(NOW_S - 3600) * 1_000_000)


@SHOWN.attack("refused", code=Reason.RESULT_TOO_OLD)
def result_that_says_nothing_of_its_age(scene: Scene) -> Seen:
    """It shows a valid result that says nothing of when the quote was made."""
    return _shown(Expectations(max_age_s=60), made_after_us=None)
