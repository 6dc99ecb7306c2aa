"""Two distributors at once: the newest handle wins, either may die or start again, and nothing is lost."""

from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from attester_agent.core.handle_gate import AcceptedHandle, accept_handle
from schemas.errors import PeerError
from schemas.messages.handle import Handle, verify_handle
from schemas.reasons import Reason
from schemas.topics import TopicKind
from schemas.verdicts import Freshness, Tier
from tests.fakes.attester import HandleMint
from tests.worlds.verifier import Verifying

EVERY_S = 60


class Pair:
    """Two distributors with one TSA, half an interval apart; a verifier that knows both; a device that hears both."""

    def __init__(self, folder: Path) -> None:
        one = HandleMint(issuer="one")
        self.mints = (one, HandleMint(issuer="two", authority=one.authority))
        self.verifying = Verifying(folder, mint=one, others=self.mints[1:])
        self.last: AcceptedHandle | None = None
        self.bound: Handle | None = None
        self.refused: list[Reason] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.verifying.__exit__()

    def ring(self, number: int) -> bytes:
        """A distributor's next handle reaches everyone."""
        raw = self.mints[number].raw(self.verifying.now_us)
        self.publish(number, raw)
        return raw

    def publish(self, number: int, raw: bytes) -> bool:
        """A handle reaches everyone, for the first time or again; returns whether the device binds to it."""
        self.verifying.take(TopicKind.HANDLES, self.mints[number].issuer, raw)
        handle = verify_handle(raw, self.mints[number].keys, self.verifying.stamps)
        try:
            self.last = accept_handle(handle, self.last, now_us=self.verifying.now_us)
        except PeerError as error:
            self.refused.append(error.reason)
            return False
        self.bound = handle
        self.verifying.device.sync(handle)
        return True


@pytest.fixture(name="pair")
def two_distributors(tmp_path: Path, at_end: ExitStack) -> Pair:
    return at_end.enter_context(Pair(tmp_path))


def test_the_newest_wins_and_both_are_known_without_gap_or_fork(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        for turn in range(6):
            raw = pair.ring(turn % 2)
            assert pair.bound is not None
            assert pair.bound.claims.issuer == pair.mints[turn % 2].issuer
            assert pair.bound.id == verify_handle(raw, pair.mints[turn % 2].keys, pair.verifying.stamps).id
            assert pair.verifying.push().status is Tier.AFFIRMING
            pair.verifying.pass_s(EVERY_S / 2)
    assert "handle-chain" not in caplog.text
    assert len(pair.verifying.trust.trust(pair.verifying.now_us).handles) == 6


def test_when_one_dies_evidence_stays_fresh(pair: Pair) -> None:
    """Ten minutes on one distributor's handles, of which the verifier allows five minutes' age."""
    pair.ring(0)
    for _ in range(20):
        pair.ring(1)
        pair.verifying.pass_s(EVERY_S / 2)
        result = pair.verifying.push()
        assert (result.status, result.freshness) == (Tier.AFFIRMING, Freshness.FRESH)


def test_when_both_die_evidence_becomes_stale_and_one_heals_it(pair: Pair) -> None:
    pair.ring(0)
    pair.ring(1)
    pair.verifying.pass_s(1000)
    assert pair.verifying.push().freshness is Freshness.STALE
    pair.ring(1)
    assert pair.verifying.push().status is Tier.AFFIRMING


def test_one_that_starts_again_publishes_its_last_and_goes_on(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        old = pair.ring(0)
        pair.verifying.pass_s(EVERY_S)
        pair.ring(1)
        assert pair.publish(0, old) is False
        assert pair.refused == [Reason.HANDLE_NOT_NEWER]
        assert pair.verifying.push().status is Tier.AFFIRMING
        pair.verifying.pass_s(1)
        pair.ring(0)
        assert pair.verifying.push().status is Tier.AFFIRMING
    assert "handle-chain" not in caplog.text


def test_what_only_the_verifier_or_only_the_device_hears_stays_apart(pair: Pair) -> None:
    """The verifier cut off from one distributor: evidence bound to it is pending until its handle arrives."""
    pair.ring(0)
    pair.verifying.pass_s(1)
    raw = pair.mints[1].raw(pair.verifying.now_us)
    pair.verifying.device.sync(verify_handle(raw, pair.mints[1].keys, pair.verifying.stamps))
    result = pair.verifying.push()
    assert (result.status, result.freshness) == (Tier.NONE, Freshness.PENDING)
    pair.publish(1, raw)
    assert pair.verifying.push().status is Tier.AFFIRMING
