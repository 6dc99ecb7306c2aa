"""Attacks with handles on a verifier: each has its own code, and by none does a result become affirming."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from schemas.codecs import cose
from schemas.errors import PeerError
from schemas.identifiers import HandleId
from schemas.messages.handle import EPOCH_BELL_IMPRINT, Handle, HandleClaims, attach_stamp, handle_id, sign_claims
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier
from tests.builders.token_forge import ForgedAuthority, Recipe, certify, tst_info
from tests.worlds.verifier import ISSUER, Verifying

S = 1_000_000
HOUR_US = 3600 * S


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """What a thief of the distributor's key may choose."""

    said_us: int
    stamped_us: int
    recipe: Recipe
    imprint: bytes | None = None
    previous: HandleId | None = None


def forge(verifying: Verifying, how: Forgery) -> bytes:
    """A handle signed with the stolen key."""
    claims = HandleClaims(
        issuer=ISSUER,
        not_before_s=how.said_us // S,
        expires_s=how.said_us // S + 600,
        nonce=hashlib.sha256(b"thief").digest(),
        epoch_marker=tst_info(EPOCH_BELL_IMPRINT, how.said_us),
        previous=how.previous,
    )
    signed = sign_claims(claims, verifying.mint.key)
    return attach_stamp(signed, how.recipe.token(how.imprint or cose.ctt_imprint(signed), how.stamped_us))


@pytest.fixture(name="verifying")
def an_affirmed_device(tmp_path: Path, at_end: ExitStack) -> Verifying:
    """One handle, one affirming push."""
    made = at_end.enter_context(Verifying(tmp_path))
    made.device.sync(made.new_handle())
    assert made.push().status is Tier.AFFIRMING
    return made


def refused(verifying: Verifying, raw: bytes) -> Reason:
    """The code; evidence bound to the refused handle is pending at best."""
    with pytest.raises(PeerError) as caught:
        verifying.take_handle(raw)
    _bind_to_unknown(verifying, handle_id(raw))
    verifying.pass_s(1)
    result = verifying.push()
    assert (result.status, result.freshness) == (Tier.NONE, Freshness.PENDING)
    assert Reason.HANDLE_UNKNOWN in result.reasons
    return caught.value.reason


def _bind_to_unknown(verifying: Verifying, unknown: HandleId) -> None:
    claims = HandleClaims(issuer=ISSUER, not_before_s=0, expires_s=1, nonce=bytes(32), epoch_marker=b"", previous=None)
    verifying.device.sync(Handle(id=unknown, raw=b"", claims=claims, time_us=0, accuracy_us=0))


# ── with the stolen key, or without any ──────────────────────────────────────────────────────────────────────────────

FORGERIES: list[tuple[str, Callable[[Verifying], Forgery], Reason]] = [
    (
        "a handle for tomorrow, with the TSA's stamp of now",
        lambda v: Forgery(said_us=v.now_us + 24 * HOUR_US, stamped_us=v.now_us, recipe=v.mint.authority.recipe()),
        Reason.HANDLE_TIME_INCONSISTENT,
    ),
    (
        "a handle for tomorrow, with a stamp by a TSA of the thief's",
        lambda v: Forgery(
            said_us=v.now_us + 24 * HOUR_US,
            stamped_us=v.now_us + 24 * HOUR_US,
            recipe=ForgedAuthority.make().recipe(),
        ),
        Reason.HANDLE_STAMP_INVALID,
    ),
    (
        "a handle of now, with a stamp by an untrusted TSA",
        lambda v: Forgery(said_us=v.now_us, stamped_us=v.now_us, recipe=ForgedAuthority.make().recipe()),
        Reason.HANDLE_STAMP_INVALID,
    ),
    (
        "the stamp of something else",
        lambda v: Forgery(said_us=v.now_us, stamped_us=v.now_us, recipe=v.mint.authority.recipe(), imprint=b"x" * 32),
        Reason.HANDLE_STAMP_IMPRINT_MISMATCH,
    ),
    (
        "a stamp by a server's certificate under the trusted root",
        lambda v: Forgery(
            said_us=v.now_us,
            stamped_us=v.now_us,
            recipe=Recipe(
                signer=certify("a web server", v.mint.authority.root, usages=[ExtendedKeyUsageOID.SERVER_AUTH])
            ),
        ),
        Reason.HANDLE_STAMP_NOT_FOR_TIME_STAMPING,
    ),
]


@pytest.mark.parametrize(("make", "code"), [row[1:] for row in FORGERIES], ids=[row[0] for row in FORGERIES])
def test_forged_handles_have_their_own_codes(
    verifying: Verifying, make: Callable[[Verifying], Forgery], code: Reason
) -> None:
    assert refused(verifying, forge(verifying, make(verifying))) is code


def test_a_handle_by_a_tsa_whose_clock_is_ahead_is_from_the_future(verifying: Verifying) -> None:
    ahead_us = verifying.now_us + HOUR_US
    how = Forgery(said_us=ahead_us, stamped_us=ahead_us, recipe=verifying.mint.authority.recipe())
    assert refused(verifying, forge(verifying, how)) is Reason.HANDLE_FROM_FUTURE
    assert verifying.trust.floor_us < verifying.now_us


# ── old ones ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_old_handle_published_again_changes_nothing(verifying: Verifying) -> None:
    """Known still: nothing new. Its evidence is as old as it is, however new the quote."""
    first = verifying.mint.raw(verifying.now_us)
    verifying.take_handle(first)
    verifying.pass_s(400)
    newest = verifying.new_handle()
    assert verifying.take_handle(first) is False
    assert verifying.trust.newest_handle is not None
    assert verifying.trust.newest_handle.id == newest.id
    verifying.device.sync(verifying.verified(first))
    result = verifying.push()
    assert (result.status, result.freshness) == (Tier.NONE, Freshness.STALE)
    assert Reason.EVIDENCE_TOO_OLD in result.reasons


def test_a_forgotten_handle_published_again_is_expired(verifying: Verifying) -> None:
    old = verifying.mint.raw(verifying.now_us)
    verifying.pass_s(2 * 86_400)
    verifying.trust.prune(verifying.now_us)
    assert refused(verifying, old) is Reason.HANDLE_EXPIRED


def test_a_handle_held_back_for_an_hour_is_known_late_and_makes_nothing_fresh(
    verifying: Verifying, caplog: pytest.LogCaptureFixture
) -> None:
    held_back = verifying.mint.raw(verifying.now_us)
    verifying.device.sync(verifying.verified(held_back))
    verifying.pass_s(3600)
    with caplog.at_level("WARNING"):
        assert verifying.take_handle(held_back)
    assert "handle-late" in caplog.text
    result = verifying.push()
    assert (result.status, result.freshness) == (Tier.NONE, Freshness.STALE)
    assert {Reason.HANDLE_EXPIRED, Reason.EVIDENCE_TOO_OLD} & set(result.reasons)


def test_a_retained_handle_is_not_called_late(verifying: Verifying, caplog: pytest.LogCaptureFixture) -> None:
    kept = verifying.mint.raw(verifying.now_us)
    verifying.pass_s(100)
    with caplog.at_level("WARNING"):
        assert verifying.take_handle(kept, retained=True)
    assert "handle-late" not in caplog.text


# ── chains ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fork_is_an_alarm_and_refuses_nothing(verifying: Verifying, caplog: pytest.LogCaptureFixture) -> None:
    before = verifying.mint.previous
    verifying.pass_s(5)
    honest = verifying.new_handle()
    verifying.pass_s(2)
    how = Forgery(
        said_us=verifying.now_us, stamped_us=verifying.now_us, recipe=verifying.mint.authority.recipe(), previous=before
    )
    with caplog.at_level("WARNING"):
        assert verifying.take_handle(forge(verifying, how))
    assert Reason.HANDLE_CHAIN_FORKED in caplog.text
    caplog.clear()
    verifying.device.sync(honest)
    assert verifying.push().status is Tier.AFFIRMING


def test_a_gap_is_told_and_a_restart_is_none(verifying: Verifying, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        verifying.pass_s(5)
        last = verifying.mint.raw(verifying.now_us)
        verifying.take_handle(last)
        verifying.restart()
        assert verifying.take_handle(last) is False
        verifying.pass_s(5)
        verifying.new_handle()
        assert "handle-chain" not in caplog.text
        verifying.mint.raw(verifying.now_us)  # that nobody hears
        verifying.pass_s(5)
        verifying.device.sync(verifying.new_handle())
    assert Reason.HANDLE_CHAIN_GAP in caplog.text
    assert verifying.push().status is Tier.AFFIRMING
