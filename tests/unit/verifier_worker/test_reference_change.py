"""New versions of reference values: what a fleet may go on with, what must be measured again, and when."""

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.ima.signature import FileKey
from schemas.messages.handle import Handle
from schemas.messages.reference_values import Outgoing, ReferenceValues
from schemas.reasons import Reason
from schemas.verdicts import Tier
from tests.builders.file_signing import file_key
from tests.worlds.device import GOOD_FILES, T0_US, make_handle, make_policy, make_references
from tests.worlds.step_bench import Bench
from verifier_worker.core.conclusion import resolve
from verifier_worker.core.policy.ima_demands import ImaTable
from verifier_worker.core.policy.policy_file import LogsTable
from verifier_worker.core.reference_change import carry_over
from verifier_worker.core.trust import References, merge_references, succeed

NEW, OLD = b"new", b"true"
ALL = {"tcg2": 0, "ima": 0}
REMEASURE_S = 300


class Fleet(Bench):
    """A device whose verifier learns new versions of a set as the trust store has them merged."""

    def __init__(self) -> None:
        super().__init__(
            policy_changes={"remeasure_s": REMEASURE_S, "max_age_s": 1e6, "max_handle_age_s": 1e6, "grace_s": 1e6}
        )
        self.values = make_references(self.device)
        self.take(self.device.push())

    def publish(self, **changes: object) -> None:
        """Another version."""
        self.values = replace(self.values, version=self.values.version + 1, **changes)  # type: ignore[arg-type]
        self.learn(self.values)

    def learn(self, values: ReferenceValues) -> None:
        """The set as it is at this moment."""
        merged = merge_references(("good",), {"good": values}, self.now_us // 1_000_000)
        self.trust = replace(self.trust, references=succeed(self.trust.references, merged, self.now_us))


@pytest.fixture
def fleet() -> Fleet:
    """After an accepted baseline."""
    return Fleet()


def files(*contents: bytes) -> dict[bytes, str]:
    return {hashlib.sha256(content).digest(): content.decode() for content in contents}


GOOD = files(*GOOD_FILES.values())


def test_added_files_need_no_baseline(fleet: Fleet) -> None:
    fleet.publish(files=GOOD | files(NEW))
    taken = fleet.take(fleet.device.push())
    assert taken.solicit is None
    assert fleet.verdict() == (Tier.AFFIRMING, set())
    fleet.device.run(b"/opt/new", NEW)
    fleet.take(fleet.device.push())
    assert fleet.verdict() == (Tier.AFFIRMING, set())


def test_an_unexpected_file_that_is_added_is_unexpected_no_more(fleet: Fleet) -> None:
    fleet.device.run(b"/opt/new", NEW)
    fleet.take(fleet.device.push())
    assert fleet.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})
    fleet.publish(files=GOOD | files(NEW))
    assert fleet.take(fleet.device.push()).solicit is None
    assert fleet.verdict() == (Tier.AFFIRMING, set())


def test_what_stays_unexpected_stays_so_until_the_asked_baseline(fleet: Fleet) -> None:
    """More than the record holds, or signed by a key that is new: only the log can tell."""
    for number in range(20):
        fleet.device.run(b"/opt/%d" % number, b"%d" % number)
    fleet.take(fleet.device.push())
    fleet.publish(files=GOOD | files(*[b"%d" % number for number in range(20)]))
    for _ in range(3):
        taken = fleet.take(fleet.device.push())
        assert taken.solicit is not None
        assert dict(taken.solicit.logs) == ALL
        assert fleet.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})
    assert fleet.take(fleet.device.push(full=True, resend=ALL)).solicit is None
    assert fleet.verdict() == (Tier.AFFIRMING, set())


def test_pcr_values_are_judged_by_the_new_version_at_once(fleet: Fleet) -> None:
    registers = {bank: dict(values) for bank, values in fleet.values.registers.items()}
    for values in registers.values():
        values[4] = frozenset({b"\x04" * 32})
    fleet.publish(registers=registers)
    assert fleet.take(fleet.device.push()).solicit is None
    assert fleet.verdict() == (Tier.CONTRAINDICATED, {Reason.PCR_UNEXPECTED})


def without_old() -> dict[bytes, str]:
    return {digest: path for digest, path in GOOD.items() if digest != hashlib.sha256(OLD).digest()}


def test_a_file_taken_away_shows_where_it_had_run(fleet: Fleet) -> None:
    fleet.device.run(b"/usr/bin/true", OLD)
    fleet.take(fleet.device.push())
    fleet.publish(files=without_old())
    asked = 0
    while fleet.take(fleet.device.push()).solicit is None:
        assert fleet.verdict() == (Tier.AFFIRMING, set())
        asked += 1
        fleet.now_us += 10_000_000
        assert asked < 30
    assert fleet.verdict()[0] is Tier.AFFIRMING
    fleet.take(fleet.device.push(full=True, resend=ALL))
    assert fleet.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})


def test_what_is_run_from_now_on_is_judged_by_the_new_version(fleet: Fleet) -> None:
    fleet.publish(files=without_old())
    fleet.device.run(b"/usr/bin/true", OLD)
    fleet.take(fleet.device.push())
    assert fleet.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})


def test_who_does_not_answer_in_time_starts_over(fleet: Fleet) -> None:
    fleet.publish(files=without_old())
    fleet.now_us += (REMEASURE_S + 1) * 1_000_000
    taken = fleet.take(fleet.device.push())
    assert taken.solicit is not None
    assert Reason.BASELINE_REQUIRED in fleet.verdict()[1]
    assert fleet.verdict()[0] is not Tier.AFFIRMING


def test_a_version_after_a_removal_does_not_put_it_off(fleet: Fleet) -> None:
    fleet.publish(files=without_old())
    fleet.now_us += (REMEASURE_S - 1) * 1_000_000
    fleet.publish(files=without_old() | files(NEW))
    fleet.now_us += 2_000_000
    fleet.take(fleet.device.push())
    assert Reason.BASELINE_REQUIRED in fleet.verdict()[1]


def test_a_fleet_is_asked_bit_by_bit(fleet: Fleet) -> None:
    """10,000 attesters: in each tenth of the time at most a fifth of them is asked for the first time."""
    fleet.publish(files=without_old())
    start_us, first = fleet.now_us, [0] * 10
    assert fleet.state is not None
    for number in range(2_000):
        ueid = type(fleet.device.ueid)(b"\x01" + hashlib.sha256(b"%d" % number).digest())
        for tenth in range(10):
            now_us = start_us + REMEASURE_S * 100_000 * (tenth + 1) - 1
            gone_on = carry_over(fleet.state, ueid, fleet.trust, now_us)
            assert gone_on is not None
            if gone_on.ask:
                first[tenth] += 1
                break
    assert sum(first) == 2_000
    assert max(first) < 2_000 / 5


def test_outgoing_values_count_until_their_time(fleet: Fleet) -> None:
    fleet.device.run(b"/usr/bin/true", OLD)
    fleet.take(fleet.device.push())
    until_s = fleet.now_us // 1_000_000 + 60
    gone = {hashlib.sha256(OLD).digest(): "/usr/bin/true"}
    fleet.publish(files=without_old() | files(NEW), outgoing=Outgoing(until_s=until_s, files=gone))
    assert fleet.trust.references.label == "good/2+"
    assert fleet.take(fleet.device.push()).solicit is None
    fleet.device.run(b"/usr/bin/true", OLD)
    fleet.device.run(b"/opt/new", NEW)
    fleet.take(fleet.device.push())
    assert fleet.verdict() == (Tier.AFFIRMING, set())
    fleet.now_us = (until_s + 1) * 1_000_000
    fleet.learn(fleet.values)
    assert fleet.trust.references.label == "good/2"
    fleet.now_us += (REMEASURE_S + 1) * 1_000_000
    fleet.take(fleet.device.push(full=True, resend=ALL))
    assert fleet.verdict()[0] is Tier.CONTRAINDICATED


def references(label: str, *contents: bytes, keys: tuple[FileKey, ...] = ()) -> References:
    return References(label=label, missing=(), registers={}, files=frozenset(files(*contents)), keys=keys)


def test_labels_are_remembered_as_long_as_nothing_was_taken_away() -> None:
    first, second = references("a/1", b"1"), references("a/2", b"1", b"2")
    third = succeed(succeed(first, second, 1), references("a/3", b"1", b"2", b"3"), 2)
    assert third.narrower == {"a/1", "a/2"}
    fourth = succeed(third, references("a/4", b"1"), 3)
    assert (fourth.narrower, fourth.ended) == (frozenset(), {"a/1": 3, "a/2": 3, "a/3": 3})
    fifth = succeed(fourth, references("a/5", b"1", b"5"), 4)
    assert (fifth.narrower, fifth.ended) == (frozenset({"a/4"}), fourth.ended)


def test_a_key_taken_away_is_as_a_file_taken_away() -> None:
    key = file_key(ec.generate_private_key(ec.SECP256R1()))
    assert succeed(references("a/1", keys=(key,)), references("a/2"), 7).ended == {"a/1": 7}
    assert succeed(references("a/1"), references("a/2", keys=(key,)), 7).narrower == {"a/1"}


def test_a_policy_that_judges_otherwise_starts_over(fleet: Fleet) -> None:
    fleet.publish(files=GOOD | files(NEW))
    fleet.trust = replace(fleet.trust, policy=make_policy(ima=ImaTable(exclude=("/srv/a",), agent=())))
    fleet.take(fleet.device.push())
    assert Reason.BASELINE_REQUIRED in fleet.verdict()[1]
    assert fleet.now_us > T0_US


def late_handle(fleet: Fleet) -> Handle:
    """The next push is pending: its handle has not come."""
    late = make_handle(1)
    fleet.device.sync(late)
    fleet.take(fleet.device.push())
    assert fleet.verdict() == (Tier.NONE, {Reason.HANDLE_UNKNOWN})
    return late


def resolved(fleet: Fleet, late: Handle) -> Tier | None:
    """What the handle's coming makes of it; None when it is left to the next push."""
    assert fleet.state is not None
    trust = replace(fleet.trust, handles={**fleet.trust.handles, late.id: late})
    found = resolve(fleet.device.ueid, fleet.state, trust, fleet.now_us)
    return None if found is None else found[0].verdict.status


def test_a_late_handle_does_not_affirm_what_a_new_policy_never_judged() -> None:
    """Entries of PCR 10 were nobody's word under the old policy, so nobody looked at them."""
    fleet = Fleet()
    strict = fleet.policy
    lax = make_policy(pcrs="sha256:0-9", logs=LogsTable(tcg2=tuple(range(8))), max_age_s=1e6, max_handle_age_s=1e6)
    fleet.trust = replace(fleet.trust, policy=lax)
    fleet.device.run(b"/opt/evil", b"evil")
    fleet.take(fleet.device.push(full=True, resend=ALL))
    assert fleet.verdict() == (Tier.AFFIRMING, set())
    late = late_handle(fleet)
    fleet.trust = replace(fleet.trust, policy=strict)
    assert resolved(fleet, late) is None


def test_a_late_handle_does_not_affirm_what_was_taken_away(fleet: Fleet) -> None:
    fleet.trust = replace(fleet.trust, policy=make_policy(remeasure_s=0, max_age_s=1e6, max_handle_age_s=1e6))
    late = late_handle(fleet)
    assert resolved(fleet, late) is Tier.AFFIRMING
    fleet.publish(files=without_old())
    assert resolved(fleet, late) is None


def test_a_late_handle_resolves_while_a_baseline_is_not_due(fleet: Fleet) -> None:
    late = late_handle(fleet)
    fleet.publish(files=GOOD | files(NEW))
    assert resolved(fleet, late) is Tier.AFFIRMING


def test_a_late_handle_does_not_affirm_a_key_that_nobody_vouches_for_any_more(fleet: Fleet) -> None:
    """Revoked, or replaced by another key, after the push was received and before its handle came."""
    late = late_handle(fleet)
    before = fleet.trust
    vouched = before.endorsed[fleet.device.ueid]
    ended = replace(vouched.endorsement, not_after_s=fleet.now_us // 1_000_000 - 1)
    for endorsed in (
        {},
        {fleet.device.ueid: replace(vouched, endorsement=ended)},
        {fleet.device.ueid: replace(vouched, name=b"another key")},
    ):
        fleet.trust = replace(before, endorsed=endorsed)
        assert resolved(fleet, late) is None
    fleet.trust = before
    assert resolved(fleet, late) is Tier.AFFIRMING


def test_a_clock_set_back_does_not_prolong_what_was_taken_away(fleet: Fleet) -> None:
    """The verifier's clock was a day ahead when the new version came, and is right again."""
    right_us = fleet.now_us
    fleet.now_us += 86_400_000_000
    fleet.publish(files=without_old())
    assert fleet.state is not None
    assert carry_over(fleet.state, fleet.device.ueid, fleet.trust, fleet.now_us) is not None
    assert carry_over(fleet.state, fleet.device.ueid, fleet.trust, right_us) is None
