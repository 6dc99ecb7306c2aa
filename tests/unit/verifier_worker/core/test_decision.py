"""Messages, late handles and silence: each becomes a new state and its result, or nothing."""

from dataclasses import replace

import pytest

from schemas import media_types
from schemas.codecs import cmw
from schemas.media_types import Indicator
from schemas.messages.evidence import Evidence, encode_evidence
from schemas.messages.key_scope import EVERYTHING
from schemas.messages.result import Rejections
from schemas.messages.trust_statement import TrustStatement, Withdrawal, Withdrawn
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.worlds.step_bench import RECEIVED_US, Bench
from verifier_worker.core.decision import (
    DEVELOPER,
    Decision,
    decide_handle,
    decide_push,
    decide_silence,
    decide_withdrawal,
)
from verifier_worker.core.finding import Finding
from verifier_worker.core.lasting import Lasting
from verifier_worker.core.result_builder import build_result
from verifier_worker.core.state import AttesterState
from verifier_worker.core.statements import Statements
from verifier_worker.core.step import SolicitRequest, Step

SECOND_US = 1_000_000


def payload_of(evidence: Evidence) -> bytes:
    return cmw.wrap(media_types.EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE)


class Deciding(Bench):
    """A bench whose pushes come as messages."""

    def decide(self, payload: bytes) -> Decision | Step:
        return decide_push(self.device.ueid, self.state, payload, self.now_us, self.trust, "v1")

    def push(self) -> Decision:
        decided = self.decide(payload_of(self.device.push()))
        assert isinstance(decided, Decision)
        self.state = decided.state
        return decided


@pytest.fixture
def deciding() -> Deciding:
    return Deciding()


def is_result_of(bench: Deciding, decision: Decision, now_us: int) -> bool:
    """Whether the decision's result follows from its state and findings, at this time, in this trust."""
    trust = bench.trust
    handle = trust.handles.get(decision.state.sync.handle)
    built = build_result(
        bench.device.ueid,
        decision.state,
        decision.findings,
        now_us,
        "v1",
        policy=trust.policy,
        handle=handle,
        reference_values=trust.references.sets,
    )
    return decision.result == built


def test_a_push_becomes_a_state_and_its_result(deciding: Deciding) -> None:
    decision = deciding.push()
    assert is_result_of(deciding, decision, RECEIVED_US)
    assert decision.result.status is Tier.AFFIRMING
    assert decision.result.expires_s <= deciding.handle.claims.expires_s + 30
    assert decision.findings == ()
    assert decision.solicit is None


def test_a_result_ends_with_the_handle_of_its_push() -> None:
    deciding = Deciding(policy_changes={"result_lifetime_s": 3600.0, "grace_s": 7.0})
    assert deciding.push().result.expires_s == deciding.handle.claims.expires_s + 7


def test_what_was_found_and_what_is_asked_for_is_handed_on(deciding: Deciding) -> None:
    deciding.push()
    deciding.device.push()  # lost
    decision = deciding.push()
    assert [each.reason for each in decision.findings] == [Reason.SEQUENCE_GAP]
    assert decision.solicit == SolicitRequest(reason=Reason.SEQUENCE_GAP, logs={"tcg2": 9, "ima": 1})
    assert is_result_of(deciding, decision, RECEIVED_US)


def test_a_message_that_is_no_evidence_is_counted_and_gets_no_result(deciding: Deciding) -> None:
    first = deciding.decide(b"")
    assert isinstance(first, Step)
    assert first.refused is not None
    assert first == Step(state=None, refused=first.refused)
    state = deciding.push().state
    refused = deciding.decide(b"\xff")
    assert isinstance(refused, Step)
    assert refused.refused is not None
    assert refused.refused.reason is Reason.MALFORMED
    assert refused.state == replace(state, rejections=Rejections(count=1, last=Reason.MALFORMED, last_us=RECEIVED_US))


def test_evidence_under_another_media_type_is_refused(deciding: Deciding) -> None:
    raw = encode_evidence(deciding.device.push())
    for payload in (raw, cmw.wrap(media_types.HANDLE, raw, Indicator.EVIDENCE)):
        refused = deciding.decide(payload)
        assert isinstance(refused, Step)
        assert refused.refused is not None


def test_neither_a_refused_push_nor_a_duplicate_gets_a_result(deciding: Deciding) -> None:
    payload = payload_of(deciding.device.push())
    deciding.trust = replace(deciding.trust, endorsed={})
    refused = deciding.decide(payload)
    assert isinstance(refused, Step)
    assert refused.refused is not None
    deciding = Deciding()
    push = payload_of(deciding.device.push())
    first = deciding.decide(push)
    assert isinstance(first, Decision)
    deciding.state = first.state
    again = deciding.decide(push)
    assert again == Step(state=first.state, duplicate=True)
    deciding.device.run(b"/x", b"x")
    forged = replace(deciding.device.push(), unsigned_increments={})
    mismatch = deciding.decide(payload_of(forged))
    assert isinstance(mismatch, Step)
    assert mismatch.solicit is not None


def test_a_late_handle_makes_a_result_of_its_time(deciding: Deciding) -> None:
    known = deciding.trust
    deciding.trust = replace(known, handles={})
    state = deciding.push().state
    now_us = RECEIVED_US + 3 * SECOND_US
    assert decide_handle(deciding.device.ueid, state, now_us, deciding.trust, "v1") is None
    deciding.trust = known
    decision = decide_handle(deciding.device.ueid, state, now_us, known, "v1")
    assert decision is not None
    assert is_result_of(deciding, decision, now_us)
    assert (decision.result.status, decision.result.freshness) == (Tier.AFFIRMING, Freshness.FRESH)
    assert decision.solicit is None


def test_silence_makes_a_result_once_its_deadline_has_passed(deciding: Deciding) -> None:
    state: AttesterState = deciding.push().state
    deadline_us = RECEIVED_US + 10 * SECOND_US
    assert decide_silence(deciding.device.ueid, state, deadline_us - 1, deciding.trust, "v1") is None
    decision = decide_silence(deciding.device.ueid, state, deadline_us, deciding.trust, "v1")
    assert decision is not None
    assert is_result_of(deciding, decision, deadline_us)
    assert decision.result.reasons == (Reason.EVIDENCE_OVERDUE,)
    assert decision.findings == ()
    assert decide_silence(deciding.device.ueid, decision.state, deadline_us, deciding.trust, "v1") is None


EVIL = Finding(reason=Reason.FILE_UNEXPECTED, detail="/evil", digest=b"evil")


def test_findings_that_last_stay_named_in_silence(deciding: Deciding) -> None:
    state = replace(deciding.push().state, lasting=Lasting(findings=(EVIL,)))
    late_us = RECEIVED_US + 10 * SECOND_US
    decision = decide_silence(deciding.device.ueid, state, late_us, deciding.trust, "v1")
    assert decision is not None
    assert decision.findings == (EVIL,)
    assert is_result_of(deciding, decision, late_us)


def withdraw(bench: Deciding, standing: Withdrawn) -> None:
    """States that the device's endorsement is withdrawn."""
    statements = Statements(lambda _: EVERYTHING)
    withdrawal = Withdrawal(below=2**32, standing=standing, at_s=0)
    statements.take(
        TrustStatement(issuer="e", number=1, issued_s=0, not_after_s=9, withdrawn={bench.device.ueid: withdrawal})
    )
    bench.trust = replace(bench.trust, statements=statements)


@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        (Withdrawn.REVOKED, Reason.ATTESTING_KEY_REVOKED),
        (Withdrawn.DECOMMISSIONED, Reason.ATTESTER_DECOMMISSIONED),
    ],
)
def test_a_withdrawn_endorsement_makes_a_result_once(deciding: Deciding, standing: Withdrawn, reason: Reason) -> None:
    state = replace(deciding.push().state, lasting=Lasting(findings=(EVIL,)))
    ueid, now_us = deciding.device.ueid, RECEIVED_US + SECOND_US
    assert decide_withdrawal(ueid, state, now_us, deciding.trust, "v1") is None
    withdraw(deciding, standing)
    decision = decide_withdrawal(ueid, state, now_us, deciding.trust, "v1")
    assert decision is not None
    assert is_result_of(deciding, decision, now_us)
    detail = f"{standing} by the endorser at 1970-01-01T00:00:00Z"
    assert decision.findings == (Finding(reason=reason, detail=detail), EVIL)
    assert set(decision.result.reasons) == {reason, Reason.FILE_UNEXPECTED}
    assert decision.result.freshness is Freshness.STALE
    assert TrustClaim.INSTANCE_IDENTITY not in decision.result.vector or standing is Withdrawn.REVOKED
    assert TrustClaim.EXECUTABLES in decision.result.vector
    assert decision.state.verdict.verified_claims == {}
    assert decision.state.deadline_us is None
    assert decision.solicit is None
    assert decide_withdrawal(ueid, decision.state, now_us, deciding.trust, "v1") is None


def test_a_replaced_endorsement_makes_no_result(deciding: Deciding) -> None:
    """The push under the later one does."""
    state = deciding.push().state
    withdraw(deciding, Withdrawn.REPLACED)
    assert decide_withdrawal(deciding.device.ueid, state, RECEIVED_US, deciding.trust, "v1") is None


def test_results_name_who_made_this_software() -> None:
    assert DEVELOPER == "attestream"


def test_what_was_refused_before_the_first_push_is_counted_with_it_and_later_once(deciding: Deciding) -> None:
    refused = Rejections(count=3, last=Reason.MALFORMED, last_us=RECEIVED_US - 1)

    def decide(state: AttesterState | None) -> Decision:
        ueid, payload = deciding.device.ueid, payload_of(deciding.device.push())
        made = decide_push(ueid, state, payload, RECEIVED_US, deciding.trust, "v1", refused_before=refused)
        assert isinstance(made, Decision)
        return made

    first = decide(None)
    assert (first.state.rejections, first.result.rejections) == (refused, refused)
    kept = replace(refused, count=5)
    assert decide(replace(first.state, rejections=kept)).result.rejections == kept
