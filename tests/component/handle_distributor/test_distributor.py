"""The epoch bell with every part of the rig in memory: which TSA counts, what is stored and published, and when."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from prometheus_client import REGISTRY

from handle_distributor.epoch_bell import BellRules, EpochBell
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.codecs import cose
from schemas.messages.handle import EPOCH_BELL_IMPRINT, verify_handle
from schemas.reasons import Reason
from tests.builders.token_forge import ForgedAuthority
from tests.fakes.distributor import FakeAuthority, ManualClock, MemoryStore, PowerCut, RecordingPublisher

ROOT = ForgedAuthority.make()
STAMPS = TimeStampVerifier(ROOT.root.pem)
SECOND_US = 1_000_000


class Rig:
    """Three TSAs, a disk, a broker, a clock; and the distributor on them, which can be started again."""

    def __init__(self, *, required_agreement: int = 1) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.publisher = RecordingPublisher()
        self.key = generate_private_key(SECP256R1())
        self.tsas = [FakeAuthority(f"tsa-{number}", ROOT, STAMPS, self.clock) for number in (1, 2, 3)]
        self.rules = BellRules(
            issuer="main", lifetime_s=300, max_clock_offset_us=2 * SECOND_US, required_agreement=required_agreement
        )

    def start(self, key: EllipticCurvePrivateKey | None = None) -> EpochBell:
        bell = EpochBell(
            self.rules,
            key=key or self.key,
            authorities=self.tsas,
            stamps=STAMPS,
            store=self.store,
            publisher=self.publisher,
            clock=self.clock,
        )
        bell.resume()
        return bell

    @property
    def asked(self) -> list[int]:
        return [len(tsa.asked) for tsa in self.tsas]


def failures(reason: Reason, tsa: str) -> float:
    return REGISTRY.get_sample_value("attestream_handle_failures_total", {"reason": reason, "tsa": tsa}) or 0.0


def alarm() -> float | None:
    return REGISTRY.get_sample_value("attestream_handle_alarm")


def test_a_round_makes_a_handle_that_anyone_can_verify() -> None:
    rig = Rig()
    handle = rig.start().ring()
    assert handle is not None
    keys = {cose.key_id(rig.key.public_key()): rig.key.public_key()}
    assert verify_handle(handle.raw, keys, STAMPS) == handle
    assert rig.publisher.handles == [handle]
    assert rig.store.content == handle.raw
    assert alarm() == 0


def test_a_handle_takes_two_stamps_of_one_tsa_each_with_its_own_nonce() -> None:
    rig = Rig()
    handle = rig.start().ring()
    assert handle is not None
    assert rig.asked == [2, 0, 0]
    (bell, first_nonce), (imprint, second_nonce) = rig.tsas[0].asked
    assert bell == EPOCH_BELL_IMPRINT
    assert imprint == cose.ctt_imprint(cose.parse(handle.raw, "handle"))
    assert first_nonce != second_nonce


def test_handles_form_a_chain_over_a_restart() -> None:
    rig = Rig()
    bell = rig.start()
    handles = [bell.ring(), bell.ring()]
    bell = rig.start()
    handles += [bell.ring(), bell.ring()]
    ids = [handle.id for handle in handles if handle]
    assert [handle.claims.previous for handle in handles if handle] == [None, *ids[:3]]


@pytest.mark.parametrize(
    "reason",
    [
        Reason.TSA_UNREACHABLE,
        Reason.TSA_TIMEOUT,
        Reason.TSA_REFUSED,
        Reason.TSA_MALFORMED,
        Reason.TSA_IMPRINT_MISMATCH,
        Reason.TSA_NONCE_MISMATCH,
        Reason.TSA_UNTRUSTED,
    ],
)
def test_a_tsa_that_fails_is_counted_by_reason_and_the_next_is_used(reason: Reason) -> None:
    rig = Rig()
    rig.tsas[0].failure = reason
    before = failures(reason, "tsa-1")
    assert rig.start().ring() is not None
    assert rig.asked == [1, 2, 0]
    assert failures(reason, "tsa-1") == before + 1


@pytest.mark.parametrize("offset_s", [3600, -3600, 3, -3])
def test_a_tsa_whose_clock_is_off_is_not_believed(offset_s: int) -> None:
    rig = Rig()
    rig.tsas[0].offset_us = offset_s * SECOND_US
    before = failures(Reason.TSA_CLOCK_OFF, "tsa-1")
    handle = rig.start().ring()
    assert handle is not None
    assert abs(handle.time_us - rig.clock.now_us) < SECOND_US
    assert failures(Reason.TSA_CLOCK_OFF, "tsa-1") == before + 1


def test_a_tsa_whose_clock_jumps_between_its_two_stamps_is_not_believed() -> None:
    rig = Rig()
    first = rig.tsas[0]
    first.before_answer = lambda count: setattr(first, "offset_us", 3600 * SECOND_US if count == 2 else 0)
    handle = rig.start().ring()
    assert handle is not None
    assert rig.asked == [2, 2, 0]


def test_no_tsa_left_means_no_handle_and_an_alarm() -> None:
    rig = Rig()
    bell = rig.start()
    first = bell.ring()
    for tsa in rig.tsas:
        tsa.failure = Reason.TSA_TIMEOUT
    assert bell.ring() is None
    assert rig.publisher.handles == [first]
    assert alarm() == 1
    rig.tsas[2].failure = None
    after = bell.ring()
    assert first is not None
    assert after is not None
    assert after.claims.previous == first.id
    assert alarm() == 0


def test_a_machine_whose_own_clock_is_wrong_issues_nothing() -> None:
    """All TSAs look wrong to it: better no handle than one by a clock that nobody can vouch for."""
    rig = Rig()
    for tsa in rig.tsas:
        tsa.offset_us = 10 * SECOND_US
    assert rig.start().ring() is None


def test_a_step_of_this_machines_clock_within_a_round_moves_no_tsa_apart() -> None:
    rig = Rig()
    first = rig.tsas[0]

    def step(count: int) -> None:
        if count == 2:
            rig.clock.now_us += 3600 * SECOND_US
            first.offset_us = -3600 * SECOND_US  # the TSA's time goes on as before

    first.before_answer = step
    assert rig.start().ring() is not None
    assert rig.asked == [2, 0, 0]


def test_time_does_not_run_back_from_one_handle_to_the_next() -> None:
    rig = Rig()
    bell = rig.start()
    rig.tsas[0].offset_us = 1_500_000
    assert bell.ring() is not None
    rig.tsas[0].failure = Reason.TSA_TIMEOUT
    assert bell.ring() is None  # the others are 1.5 s behind what was said already
    rig.clock.advance(2)
    assert bell.ring() is not None


class TestAgreement:
    def test_two_that_agree_outvote_the_first(self) -> None:
        rig = Rig(required_agreement=2)
        rig.tsas[0].offset_us = 1_900_000
        for tsa in rig.tsas:
            tsa.accuracy_us = 100_000
        before = failures(Reason.TSA_DISAGREE, "tsa-1")
        handle = rig.start().ring()
        assert handle is not None
        assert abs(handle.time_us - rig.clock.now_us) < SECOND_US
        assert failures(Reason.TSA_DISAGREE, "tsa-1") == before + 1

    def test_too_few_answers_are_no_agreement(self) -> None:
        rig = Rig(required_agreement=2)
        rig.tsas[1].failure = rig.tsas[2].failure = Reason.TSA_UNREACHABLE
        assert rig.start().ring() is None
        assert rig.asked == [1, 1, 1]

    def test_one_missing_does_not_matter_when_enough_agree(self) -> None:
        rig = Rig(required_agreement=2)
        rig.tsas[1].failure = Reason.TSA_UNREACHABLE
        assert rig.start().ring() is not None

    def test_a_tsa_is_asked_as_witness_once_a_round(self) -> None:
        rig = Rig(required_agreement=3)
        for number, tsa in enumerate(rig.tsas):
            tsa.offset_us, tsa.accuracy_us = number * 900_000, 100_000
        assert rig.start().ring() is None
        assert rig.asked == [1, 2, 2]  # once as witness, once as the one to stamp


class TestStore:
    def test_a_full_disk_means_no_handle_leaves(self) -> None:
        rig = Rig()
        bell = rig.start()
        first = bell.ring()
        rig.store.broken = True
        assert bell.ring() is None
        assert rig.publisher.handles == [first]
        rig.store.broken = False
        after = bell.ring()
        assert first is not None
        assert after is not None
        assert after.claims.previous == first.id

    def test_power_cut_between_store_and_publish_publishes_after_the_restart(self) -> None:
        rig = Rig()

        def cut() -> None:
            raise PowerCut

        rig.store.after_save = cut
        with pytest.raises(PowerCut):
            rig.start().ring()
        assert rig.publisher.handles == []
        rig.store.after_save = lambda: None
        bell = rig.start()
        (published,) = rig.publisher.handles
        assert published.raw == rig.store.content
        after = bell.ring()
        assert after is not None
        assert after.claims.previous == published.id

    def test_an_expired_handle_is_not_published_again_but_stays_in_the_chain(self) -> None:
        rig = Rig()
        first = rig.start().ring()
        rig.publisher.handles.clear()
        rig.clock.advance(301)
        bell = rig.start()
        assert rig.publisher.handles == []
        after = bell.ring()
        assert first is not None
        assert after is not None
        assert after.claims.previous == first.id

    def test_after_a_change_of_key_the_chain_goes_on(self) -> None:
        rig = Rig()
        first = rig.start().ring()
        rig.publisher.handles.clear()
        bell = rig.start(generate_private_key(SECP256R1()))
        assert rig.publisher.handles == []
        after = bell.ring()
        assert first is not None
        assert after is not None
        assert after.claims.previous == first.id
