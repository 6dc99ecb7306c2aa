"""Handles at every edge: the bytes of the claims, the sizes, and each inequality of the times to the microsecond.

The TSA here is a function: what a token has to be is the matter of ``test_handle.py``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from schemas.codecs import cbor, cose
from schemas.codecs.tst_info import TstInfo
from schemas.errors import PeerError
from schemas.identifiers import HandleId
from schemas.messages.handle import (
    EPOCH_BELL_IMPRINT,
    HandleClaims,
    attach_stamp,
    sign_claims,
    unverified_claims,
    verify_handle,
)
from schemas.reasons import Reason
from schemas.time_model import Interval
from tests.builders.token_forge import tst_info

SECOND_US = 1_000_000
NOW_S = 1_790_000_000
NOW_US = NOW_S * SECOND_US
KEY = derive_private_key(41, SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
HEADERS = {cose.HEADER_TYPE: "application/vnd.attestream.handle+cose"}
TOKEN = b"a token"
PREVIOUS = HandleId(b"p" * 32)
MARKER = tst_info(hashlib.sha256(b"EPOCH_BELL").digest(), NOW_US)
ITEMS: dict[int, object] = {
    1: "main",
    4: NOW_S + 300,
    5: NOW_S,
    10: b"n" * 32,
    2000: cbor.Tag(26980, MARKER),
    -70100: PREVIOUS,
}
"""The claims by their registered numbers; written here so that renumbering is noticed."""
CLAIMS = HandleClaims(
    issuer="main",
    not_before_s=NOW_S,
    expires_s=NOW_S + 300,
    nonce=b"n" * 32,
    epoch_marker=MARKER,
    previous=PREVIOUS,
)


@dataclass
class Tsa:
    """Vouches for any token at one time, and keeps what it was asked."""

    gen_time_us: int = NOW_US
    accuracy_us: int = 0
    asked: tuple[bytes, bytes] | None = None

    def verify_stamp(self, token: bytes, imprint: bytes) -> TstInfo:
        self.asked = (token, imprint)
        return TstInfo(
            gen_time_us=self.gen_time_us,
            accuracy_us=self.accuracy_us,
            imprint=imprint,
            serial=1,
            policy="1.2.3",
            nonce=None,
        )


def signed(changes: dict[int, object] | None = None, drop: int | None = None) -> cose.Sign1:
    """The claims with some of them changed, added or left out."""
    items = {key: value for key, value in {**ITEMS, **(changes or {})}.items() if key != drop}
    return cose.sign(cbor.encode(items), KEY, HEADERS)


def refusal(act: Callable[[], object]) -> Reason:
    with pytest.raises(PeerError) as caught:
        act()
    return caught.value.reason


def refused_claims(changes: dict[int, object] | None = None, drop: int | None = None) -> Reason:
    """Why claims are refused, looked at or verified."""
    raw = attach_stamp(signed(changes, drop), TOKEN)
    reason = refusal(lambda: unverified_claims(raw))
    assert refusal(lambda: verify_handle(raw, KEYS, Tsa())) is reason
    return reason


def is_consistent(claims: HandleClaims = CLAIMS, tsa: Tsa | None = None) -> bool:
    """Whether the times fit together."""
    raw = attach_stamp(sign_claims(claims, KEY), TOKEN)
    try:
        verify_handle(raw, KEYS, tsa or Tsa())
    except PeerError as error:
        if error.reason is not Reason.HANDLE_TIME_INCONSISTENT:
            raise
        return False
    return True


# ── the claims ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_claim_has_its_number() -> None:
    made = sign_claims(CLAIMS, KEY)
    assert made.unverified_payload == cbor.encode(ITEMS)
    assert made.headers[16] == "application/vnd.attestream.handle+cose"
    first = sign_claims(replace(CLAIMS, previous=None), KEY)
    assert first.unverified_payload == cbor.encode({key: value for key, value in ITEMS.items() if key != -70100})


def test_the_epoch_bell_is_the_one_of_the_draft() -> None:
    assert hashlib.sha256(b"EPOCH_BELL").digest() == EPOCH_BELL_IMPRINT


def test_a_verified_handle_has_the_times_of_its_stamp() -> None:
    tsa = Tsa(gen_time_us=NOW_US + 123_456, accuracy_us=20_000)
    made = sign_claims(CLAIMS, KEY)
    raw = attach_stamp(made, TOKEN)
    handle = verify_handle(raw, KEYS, tsa)
    assert tsa.asked == (TOKEN, cose.ctt_imprint(made))
    assert (handle.id, handle.raw, handle.claims) == (hashlib.sha256(raw).digest(), raw, CLAIMS)
    assert (handle.time_us, handle.accuracy_us) == (NOW_US + 123_456, 20_000)
    assert handle.earliest_us == NOW_US + 103_456
    assert handle.made == Interval(after_us=NOW_US + 103_456, before_us=NOW_US + 143_457)
    assert handle.expires_us == NOW_US + 300 * SECOND_US


def test_claims_can_be_looked_at_before_they_are_stamped() -> None:
    assert unverified_claims(cose.encode(signed())) == CLAIMS
    assert unverified_claims(cose.encode(signed(drop=-70100))) == replace(CLAIMS, previous=None)
    assert refusal(lambda: unverified_claims(b"\xff")) is Reason.MALFORMED


@pytest.mark.parametrize("claim", [1, 4, 5, 10, 2000])
def test_every_claim_but_the_previous_is_needed(claim: int) -> None:
    assert refused_claims(drop=claim) is Reason.MALFORMED


@pytest.mark.parametrize("key", [0, 2, 3, 6, 7, 2001, -70101])
def test_there_are_no_other_claims(key: int) -> None:
    assert refused_claims({key: 0}) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("claim", "wrong"),
    [
        (1, b"main"),
        (1, "i" * 65),
        (4, -1),
        (4, str(NOW_S)),
        (5, True),
        (5, -1),
        (10, b"n" * 31),
        (10, b"n" * 33),
        (10, "n" * 32),
        (2000, MARKER),
        (2000, cbor.Tag(26981, MARKER)),
        (2000, cbor.Tag(26980, "text")),
        (2000, cbor.Tag(26980, bytes(32 * 1024 + 1))),
        (-70100, None),
        (-70100, b"p" * 31),
        (-70100, b"p" * 33),
        (-70100, "p" * 32),
    ],
)
def test_a_wrong_claim_is_refused(claim: int, wrong: object) -> None:
    """Null in the place of the previous handle does not make a first one."""
    assert refused_claims({claim: wrong}) in {Reason.MALFORMED, Reason.TOO_LARGE}


def test_an_issuer_has_up_to_64_characters() -> None:
    assert unverified_claims(cose.encode(signed({1: "i" * 64}))).issuer == "i" * 64


# ── the envelope ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_unprotected_header_is_the_token_and_nothing_else() -> None:
    made = signed()
    wrong: list[dict[object, object]]
    wrong = [{}, {270: TOKEN, 4: b"k"}, {271: TOKEN}, {270: "text"}, {270: None}, {270: [TOKEN]}]
    for unprotected in wrong:
        raw = cose.encode(replace(made, unprotected=unprotected))
        assert refusal(lambda raw=raw: verify_handle(raw, KEYS, Tsa())) is Reason.MALFORMED  # type: ignore[misc]


def test_a_token_is_limited_and_so_is_a_handle() -> None:
    verify_handle(attach_stamp(signed(), bytes(32 * 1024)), KEYS, Tsa())
    assert refusal(lambda: verify_handle(attach_stamp(signed(), bytes(32 * 1024 + 1)), KEYS, Tsa())) is Reason.TOO_LARGE
    for size, reason in ((64 * 1024, Reason.MALFORMED), (64 * 1024 + 1, Reason.TOO_LARGE)):
        raw = b"\x5a" + (size - 5).to_bytes(4, "big") + bytes(size - 5)
        assert refusal(lambda raw=raw: verify_handle(raw, KEYS, Tsa())) is reason  # type: ignore[misc]
        assert refusal(lambda raw=raw: unverified_claims(raw)) is reason  # type: ignore[misc]


def test_the_type_and_the_signature_are_checked() -> None:
    payload = cbor.encode(ITEMS)
    other_type = cose.sign(payload, KEY, {cose.HEADER_TYPE: "application/vnd.attestream.solicit+cose"})
    other_key = cose.sign(payload, derive_private_key(42, SECP256R1()), HEADERS)
    for made in (other_type, other_key, replace(signed(), unverified_payload=cbor.encode({**ITEMS, 4: NOW_S + 301}))):
        raw = attach_stamp(made, TOKEN)
        tsa = Tsa()
        assert refusal(lambda raw=raw, tsa=tsa: verify_handle(raw, KEYS, tsa)) is Reason.HANDLE_SIGNATURE_INVALID  # type: ignore[misc]
        assert tsa.asked is None


# ── the times ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_marker_carries_the_epoch_bell() -> None:
    assert is_consistent()
    assert not is_consistent(replace(CLAIMS, epoch_marker=tst_info(hashlib.sha256(b"EPOCH_BELl").digest(), NOW_US)))


@pytest.mark.parametrize(
    ("marker_us", "consistent"),
    [(NOW_US, True), (NOW_US + 999_999, True), (NOW_US - 1, False), (NOW_US + SECOND_US, False)],
)
def test_nbf_is_the_second_of_the_marker(marker_us: int, consistent: bool) -> None:
    claims = replace(CLAIMS, epoch_marker=tst_info(EPOCH_BELL_IMPRINT, marker_us))
    assert is_consistent(claims, Tsa(gen_time_us=marker_us)) is consistent


@pytest.mark.parametrize(
    ("lifetime_s", "consistent"), [(-1, False), (0, False), (1, True), (31 * 86_400, True), (31 * 86_400 + 1, False)]
)
def test_a_handle_lives_from_a_second_to_31_days(lifetime_s: int, consistent: bool) -> None:
    assert is_consistent(replace(CLAIMS, expires_s=NOW_S + lifetime_s)) is consistent


@pytest.mark.parametrize(("accuracy_us", "consistent"), [(60 * SECOND_US, True), (60 * SECOND_US + 1, False)])
def test_a_tsa_knows_the_time_to_a_minute(accuracy_us: int, consistent: bool) -> None:
    assert is_consistent(tsa=Tsa(accuracy_us=accuracy_us)) is consistent


@pytest.mark.parametrize("accuracy_us", [0, 1, 500_000])
def test_the_stamp_follows_the_marker_within_a_minute_and_twice_the_accuracy(accuracy_us: int) -> None:
    """Both are times of the TSA, each wrong by its accuracy at most."""
    for delay_us, consistent in (
        (-2 * accuracy_us - 1, False),
        (-2 * accuracy_us, True),
        (0, True),
        (60 * SECOND_US + 2 * accuracy_us, True),
        (60 * SECOND_US + 2 * accuracy_us + 1, False),
    ):
        tsa = Tsa(gen_time_us=NOW_US + delay_us, accuracy_us=accuracy_us)
        assert is_consistent(tsa=tsa) is consistent


def test_the_markers_own_accuracy_widens_nothing() -> None:
    """It lost the TSA's signature, so it is the distributor's word."""
    vague = replace(CLAIMS, epoch_marker=tst_info(EPOCH_BELL_IMPRINT, NOW_US, accuracy_us=3600 * SECOND_US))
    assert is_consistent(vague)
    assert not is_consistent(vague, Tsa(gen_time_us=NOW_US - 1))
    assert not is_consistent(vague, Tsa(gen_time_us=NOW_US + 60 * SECOND_US + 1))


@pytest.mark.parametrize(("late_us", "consistent"), [(0, True), (1, False)])
def test_a_handle_is_stamped_before_it_expires(late_us: int, consistent: bool) -> None:
    claims = replace(CLAIMS, expires_s=NOW_S + 10)
    assert is_consistent(claims, Tsa(gen_time_us=NOW_US + 10 * SECOND_US + late_us)) is consistent
