"""Trust that is not current is no trust: whatever is held back, by whomever, a verifier does not go on affirming."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from schemas.audit.entry import EvidenceEntry, parse_entry
from schemas.codecs import cose
from schemas.errors import PeerError
from schemas.identifiers import Ueid, ueid_text
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.key_scope import KeyScope
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import sign_reference_values
from schemas.messages.trust_statement import Listed, Withdrawal, Withdrawn
from schemas.reasons import Reason
from schemas.topics import TopicKind
from schemas.verdicts import Freshness, Tier
from tests.worlds.device import T0_US, FakeDevice, make_endorsement, make_references
from tests.worlds.recorded_verifier import Recording, rederived
from tests.worlds.verifier import Verifying

DAY_S, HOUR_S = 86_400, 3600
NOW_S = T0_US // 1_000_000
POLICY = """\
id = "fleet"
pcrs = "sha256:0-10"
reference_values = ["good"]
deadline_s = 60
[logs]
tcg2 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
ima = [10]
[ima]
agent = []
"""


@pytest.fixture
def verifying(tmp_path: Path, at_end: ExitStack) -> Recording:
    """A worker whose device has had a baseline judged."""
    made = at_end.enter_context(Recording(tmp_path))
    made.device.sync(made.new_handle())
    made.pass_s(1)
    assert made.push().status is Tier.AFFIRMING
    return made


def pushed(verifying: Verifying, seconds: float = 1) -> tuple[Tier, set[Reason]]:
    """The verdict of a push under a new handle, after some time."""
    verifying.pass_s(seconds)
    verifying.device.sync(verifying.new_handle())
    verifying.pass_s(1)
    result = verifying.push()
    return result.status, {Reason(each) for each in result.reasons}


def revoked(verifying: Verifying, standing: Withdrawn = Withdrawn.REVOKED) -> dict[Ueid, Withdrawal]:
    return {verifying.device.ueid: Withdrawal(below=2, standing=standing, at_s=NOW_S, by="anna")}


def signed_policy(verifying: Verifying, version: int = 1, until_s: int = 2**40, text: str = POLICY) -> bytes:
    policy = SignedPolicy(id="fleet", version=version, signer="e", not_before_s=0, not_after_s=until_s, text=text)
    return sign_policy(policy, verifying.endorser)


def test_while_statements_are_held_back_trust_ends_after_a_day(verifying: Recording) -> None:
    """Who drops a revocation must drop the statement with it, and every later one."""
    verifying.held_back = True
    assert pushed(verifying, DAY_S - 10)[0] is Tier.AFFIRMING
    assert pushed(verifying, 10) == (Tier.NONE, {Reason.TRUST_STALE})
    assert any("is of 2027-01-15T08:00:0" in text for text in verifying.results[-1].unexpected)
    assert pushed(verifying, 30 * DAY_S)[0] is Tier.NONE
    verifying.held_back = False
    assert pushed(verifying)[0] is Tier.AFFIRMING


def test_a_policy_may_rely_on_a_statement_for_up_to_a_month(verifying: Recording) -> None:
    verifying.take(TopicKind.POLICIES, "fleet", signed_policy(verifying, text=f"trust_max_age_s = 1728000\n{POLICY}"))
    verifying.held_back = True
    assert pushed(verifying, 19 * DAY_S)[0] is Tier.AFFIRMING
    assert pushed(verifying, 2 * DAY_S) == (Tier.NONE, {Reason.TRUST_STALE})


def test_a_statement_ends_when_the_endorser_says_so(verifying: Recording) -> None:
    verifying.state(not_after_s=NOW_S + HOUR_S)
    verifying.held_back = True
    assert pushed(verifying, HOUR_S // 2)[0] is Tier.AFFIRMING
    assert pushed(verifying, HOUR_S) == (Tier.NONE, {Reason.TRUST_STALE})


def test_a_verifier_that_never_heard_a_statement_affirms_nothing(tmp_path: Path, at_end: ExitStack) -> None:
    """A fresh or a restored database takes whatever old objects somebody offers."""
    verifying = at_end.enter_context(Verifying(tmp_path, held_back=True))
    assert pushed(verifying) == (Tier.NONE, {Reason.TRUST_STALE})


def test_an_old_statement_does_not_come_back(verifying: Recording) -> None:
    name = cose.key_id(verifying.endorser.public_key()).hex()
    old = verifying.statement()
    verifying.state(revoked(verifying))
    with pytest.raises(PeerError) as refused:
        verifying.take(TopicKind.STATEMENTS, name, old)
    assert refused.value.reason is Reason.OBJECT_ROLLED_BACK
    assert verifying.results[-1].status is Tier.CONTRAINDICATED


@pytest.mark.parametrize(
    ("standing", "reason", "status"),
    [
        (Withdrawn.REVOKED, Reason.ATTESTING_KEY_REVOKED, Tier.CONTRAINDICATED),
        (Withdrawn.DECOMMISSIONED, Reason.ATTESTER_DECOMMISSIONED, Tier.NONE),
    ],
)
def test_a_withdrawn_device_is_reported_at_once_and_its_evidence_is_refused(
    verifying: Recording, standing: Withdrawn, reason: Reason, status: Tier
) -> None:
    verifying.state(revoked(verifying, standing))
    result = verifying.results[-1]
    assert (result.status, result.reasons, result.freshness) == (status, (reason,), Freshness.STALE)
    assert result.unexpected == (f"{standing} by anna at 2027-01-15T08:00:00Z",)
    verifying.pass_s(1)
    before = len(verifying.results)
    verifying.deliver(verifying.payload(verifying.device.push()))
    verifying.pass_s(HOUR_S)
    assert verifying.worker.expire(verifying.receipt_us()) == 0, "revoked is not late"
    assert len(verifying.results) == before
    verifying.restart()
    verifying.worker.withdraw(sorted(verifying.trust.newly_withdrawn()), verifying.receipt_us())
    verifying.worker.settle()
    found = rederived(verifying.entries)
    assert found.problems == []
    assert found.counts.results == 2, "it was reported before the restart"


def test_evidence_under_a_replaced_endorsement_is_refused(verifying: Recording) -> None:
    """The endorsement of the device's new key is held back."""
    verifying.state(revoked(verifying, Withdrawn.REPLACED))
    assert verifying.results[-1].status is Tier.AFFIRMING, "nothing is said of the device"
    verifying.deliver(verifying.payload(verifying.device.push()))
    refused = parse_entry(verifying.entries[-1])
    assert isinstance(refused, EvidenceEntry)
    assert tuple(refused.reasons) == (Reason.ENDORSEMENT_REPLACED,)


def test_a_crash_before_the_report_loses_no_revocation(verifying: Recording) -> None:
    raw = verifying.statement(revoked(verifying))
    verifying.take(TopicKind.STATEMENTS, cose.key_id(verifying.endorser.public_key()).hex(), raw)
    verifying.restart()
    verifying.worker.withdraw(sorted(verifying.trust.newly_withdrawn()), verifying.receipt_us())
    verifying.worker.settle()
    assert verifying.results[-1].reasons == (Reason.ATTESTING_KEY_REVOKED,)


def test_a_revoked_device_that_was_bad_stays_bad_by_name(verifying: Recording) -> None:
    verifying.device.run(b"/tmp/evil", b"evil")
    assert pushed(verifying)[0] is Tier.CONTRAINDICATED
    verifying.state(revoked(verifying, Withdrawn.DECOMMISSIONED))
    result = verifying.results[-1]
    assert (result.status, set(result.reasons)) == (
        Tier.CONTRAINDICATED,
        {Reason.ATTESTER_DECOMMISSIONED, Reason.FILE_UNEXPECTED},
    )
    assert "/tmp/evil" in result.unexpected


def test_a_later_endorsement_puts_a_device_back(verifying: Recording) -> None:
    verifying.state(revoked(verifying))
    vouched = replace(make_endorsement(verifying.device.ueid, verifying.device.public), version=2)
    raw = sign_endorsement(vouched, verifying.device.raw_public, verifying.endorser)
    verifying.held_back = True  # the statement still says that versions below 2 are revoked
    verifying.take(TopicKind.ENDORSEMENTS, ueid_text(verifying.device.ueid), raw)
    assert pushed(verifying)[0] is Tier.AFFIRMING


def test_a_group_whose_policys_renewal_is_held_back_has_no_policy(verifying: Recording) -> None:
    """It does not fall to the worker's own, weaker policy."""
    verifying.take(TopicKind.POLICIES, "fleet", signed_policy(verifying))
    assert pushed(verifying)[0] is Tier.AFFIRMING
    newer = Listed(2, bytes(32))
    verifying.held_back = True
    verifying.state(policies={"fleet": newer})
    status, reasons = pushed(verifying)
    assert (status, Reason.POLICY_MISSING in reasons) == (Tier.NONE, True)
    assert "fleet/1, which is not the version in force" in verifying.results[-1].unexpected


def test_another_object_of_the_listed_version_is_not_in_force(verifying: Recording) -> None:
    verifying.take(TopicKind.POLICIES, "fleet", signed_policy(verifying))
    verifying.held_back = True
    verifying.state(policies={"fleet": Listed(1, bytes(32))})
    assert Reason.POLICY_MISSING in pushed(verifying)[1]


def test_a_newer_version_than_the_listed_one_is_in_force_at_once(verifying: Recording) -> None:
    """An update must not leave a fleet without a policy until the next statement."""
    verifying.take(TopicKind.POLICIES, "fleet", signed_policy(verifying))
    verifying.held_back = True
    verifying.take(TopicKind.POLICIES, "fleet", signed_policy(verifying, 2))
    assert pushed(verifying)[0] is Tier.AFFIRMING
    assert verifying.results[-1].policies == ("fleet/2",)


def test_a_set_that_no_statement_lists_any_more_is_missing(verifying: Recording) -> None:
    verifying.withdraw(TopicKind.REFERENCE_VALUES, "good")
    status, reasons = pushed(verifying)
    assert (status, Reason.REFERENCE_VALUES_MISSING in reasons) == (Tier.NONE, True)


def test_a_renewed_set_that_is_held_back_is_missing(verifying: Recording) -> None:
    verifying.held_back = True
    verifying.state(reference_values={"good": Listed(2, bytes(32))})
    assert Reason.REFERENCE_VALUES_MISSING in pushed(verifying)[1]


@pytest.mark.parametrize("ahead_s", [DAY_S + 10, 2**63])
def test_a_version_that_no_honest_one_could_follow_is_refused(verifying: Recording, ahead_s: int) -> None:
    version = verifying.now_us // 1_000_000 + ahead_s
    values = sign_reference_values(make_references(verifying.device, version=version), verifying.endorser)
    vouched = replace(make_endorsement(verifying.device.ueid, verifying.device.public), version=version)
    endorsement = sign_endorsement(vouched, verifying.device.raw_public, verifying.endorser)
    for kind, name, raw in (
        (TopicKind.REFERENCE_VALUES, "good", values),
        (TopicKind.POLICIES, "fleet", signed_policy(verifying, version)),
        (TopicKind.ENDORSEMENTS, ueid_text(verifying.device.ueid), endorsement),
        (TopicKind.STATEMENTS, cose.key_id(verifying.endorser.public_key()).hex(), verifying.statement(number=version)),
    ):
        with pytest.raises(PeerError) as refused:
            verifying.take(kind, name, raw)
        assert refused.value.reason is Reason.OBJECT_FROM_FUTURE
        assert str(version) in refused.value.detail


def test_a_statement_is_taken_up_to_a_day_ahead(verifying: Recording) -> None:
    verifying.state(issued_s=verifying.now_us // 1_000_000 + DAY_S)
    with pytest.raises(PeerError) as refused:
        verifying.state(issued_s=verifying.now_us // 1_000_000 + DAY_S + 10)
    assert refused.value.reason is Reason.OBJECT_FROM_FUTURE


def test_a_key_signs_nothing_outside_its_scope(verifying: Recording) -> None:
    """A supplier's key, given for its reference values, endorses a key of its own under a known UEID."""
    supplier = generate_private_key(SECP256R1())
    key_id = cose.key_id(supplier.public_key())
    scope = KeyScope(kinds=frozenset({TopicKind.REFERENCE_VALUES}), names=("vendor-*",))
    signers = verifying.trust.signers
    verifying.trust.signers = replace(
        signers, endorsers={**signers.endorsers, key_id: supplier.public_key()}, scopes={key_id: scope}
    )
    vouched = replace(make_endorsement(verifying.device.ueid, verifying.device.public), version=2)
    forged = sign_endorsement(vouched, verifying.device.raw_public, supplier)
    pinned = sign_reference_values(make_references(verifying.device, version=2), supplier)
    for kind, name, raw in (
        (TopicKind.ENDORSEMENTS, ueid_text(verifying.device.ueid), forged),
        (TopicKind.REFERENCE_VALUES, "good", pinned),
    ):
        with pytest.raises(PeerError) as refused:
            verifying.take(kind, name, raw)
        assert refused.value.reason is Reason.KEY_OUT_OF_SCOPE
    assert pushed(verifying)[0] is Tier.AFFIRMING


def scoped(verifying: Recording, scope: KeyScope) -> EllipticCurvePrivateKey:
    """A supplier's key that the verifier trusts within the scope."""
    supplier = generate_private_key(SECP256R1())
    key_id, signers = cose.key_id(supplier.public_key()), verifying.trust.signers
    verifying.trust.signers = replace(
        signers, endorsers={**signers.endorsers, key_id: supplier.public_key()}, scopes={key_id: scope}
    )
    return supplier


@pytest.mark.parametrize("text", [POLICY, "not TOML ["])
def test_a_key_replaces_nothing_of_a_group_of_others(verifying: Recording, text: str) -> None:
    """Its scope has the group that it states, and not the group that the device or the policy in force is of."""
    device = verifying.device
    verifying.take(TopicKind.POLICIES, "fleet", signed_policy(verifying))
    supplier, stranger = scoped(verifying, KeyScope(groups=frozenset({"vendor"}))), FakeDevice()
    vouched = replace(make_endorsement(device.ueid, stranger.public), version=2, group="vendor")
    endorsement = sign_endorsement(vouched, stranger.raw_public, supplier)
    own = SignedPolicy(
        id="fleet", version=2, signer="v", not_before_s=0, not_after_s=2**40, text=f'groups = ["vendor"]\n{text}'
    )
    for kind, name, raw in (
        (TopicKind.ENDORSEMENTS, ueid_text(device.ueid), endorsement),
        (TopicKind.POLICIES, "fleet", sign_policy(own, supplier)),
    ):
        with pytest.raises(PeerError) as refused:
            verifying.take(kind, name, raw)
        assert refused.value.reason is Reason.KEY_OUT_OF_SCOPE
    assert pushed(verifying)[0] is Tier.AFFIRMING


def test_a_key_may_move_a_device_between_groups_of_its_own(verifying: Recording) -> None:
    supplier = scoped(verifying, KeyScope(groups=frozenset({"vendor", "*"})))
    device = verifying.device
    for version, group in ((2, "vendor"), (3, "vendor"), (4, None)):
        vouched = replace(make_endorsement(device.ueid, device.public), version=version, group=group)
        raw = sign_endorsement(vouched, device.raw_public, supplier)
        assert verifying.trust.accept(TopicKind.ENDORSEMENTS, ueid_text(device.ueid), raw, verifying.now_us)
