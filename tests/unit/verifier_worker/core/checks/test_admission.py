"""Admission: each check by itself, at its boundaries, and in the order that the list gives them."""

import hashlib
from dataclasses import replace

import pytest

from schemas.codecs.tst_info import TstInfo
from schemas.errors import PeerError
from schemas.identifiers import HandleId, Ueid, ueid_text
from schemas.limits import MAX_CLOCK_MS
from schemas.messages.evidence import Evidence, LogIncrement, SyncProof
from schemas.messages.handle import Handle
from schemas.messages.key_scope import EVERYTHING
from schemas.messages.trust_statement import TrustStatement, Withdrawal, Withdrawn
from schemas.reasons import Reason
from tests.worlds.device import T0_US, FakeDevice, make_endorsement, make_handle
from tests.worlds.step_bench import RECEIVED_US, Bench
from verifier_worker.core.checks.admission import (
    AdmittedEvidence,
    Candidate,
    admit,
    attester_is_endorsed,
    endorsement_is_in_force,
    environment_is_endorsed,
    evidence_is_newer,
    increments_are_bound,
    quote_binds_body,
    quote_is_signed,
    sync_is_signed,
    ueid_is_the_topics,
)
from verifier_worker.core.clock_changes import ClockChange
from verifier_worker.core.state import AttesterState
from verifier_worker.core.statements import Statements
from verifier_worker.core.trust import REASON_OF, EndorsedKey, endorsed_key

SECOND_US = 1_000_000


class Admitting:
    """A device after a baseline, and its next push under admission."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.bench.take(self.bench.device.push())
        assert self.bench.state is not None
        self.device: FakeDevice = self.bench.device
        self.state: AttesterState | None = self.bench.state

    def admit(self, evidence: Evidence | None = None, received_us: int = RECEIVED_US) -> AdmittedEvidence:
        evidence = self.device.push() if evidence is None else evidence
        return admit(self.device.ueid, evidence, self.state, received_us, self.bench.trust)

    def refusal(self, evidence: Evidence | None = None) -> Reason:
        with pytest.raises(PeerError) as refused:
            self.admit(evidence)
        return refused.value.reason

    def know(self, *handles: Handle) -> None:
        self.bench.trust = replace(self.bench.trust, handles={each.id: each for each in handles})

    def in_state(self, **changes: object) -> None:
        assert self.state is not None
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.fixture
def admitting() -> Admitting:
    return Admitting()


@pytest.fixture
def candidate(admitting: Admitting) -> Candidate:
    """A good one."""
    evidence = admitting.device.push()
    admitted = admitting.admit(evidence)
    return Candidate(
        topic_ueid=admitting.device.ueid,
        evidence=evidence,
        unverified_quote=admitted.quote,
        signature=admitted.signature,
        unverified_sync=replace(admitted.sync),
        handle=admitting.bench.handle,
        key=admitting.bench.trust.endorsed[admitting.device.ueid],
        withdrawal=None,
        state=admitting.state,
        change=ClockChange.RUNNING,
        received_us=RECEIVED_US,
    )


def refusal_by(check: object, candidate: Candidate) -> Reason | None:
    """The code with which one check refuses."""
    assert callable(check)
    try:
        check(candidate)
    except PeerError as error:
        return error.reason
    return None


def keyed(candidate: Candidate, **validity: int) -> Candidate:
    """Its endorsement with another validity."""
    assert candidate.key is not None
    endorsement = replace(candidate.key.endorsement, **validity)  # type: ignore[arg-type]  # fields by name
    return replace(candidate, key=replace(candidate.key, endorsement=endorsement))


def test_an_endorsement_is_good_from_its_first_second_to_the_end_of_its_last(candidate: Candidate) -> None:
    now_s = RECEIVED_US // SECOND_US
    late = replace(candidate, received_us=now_s * SECOND_US + 999_999)
    assert refusal_by(attester_is_endorsed, keyed(candidate, not_before_s=now_s, not_after_s=now_s)) is None
    assert refusal_by(attester_is_endorsed, keyed(late, not_before_s=now_s, not_after_s=now_s)) is None
    ended = keyed(replace(candidate, received_us=(now_s + 1) * SECOND_US), not_after_s=now_s)
    assert refusal_by(attester_is_endorsed, ended) is Reason.ENDORSEMENT_EXPIRED
    early = keyed(replace(candidate, received_us=now_s * SECOND_US - 1), not_before_s=now_s)
    assert refusal_by(attester_is_endorsed, early) is Reason.ENDORSEMENT_NOT_YET_VALID


@pytest.mark.parametrize("standing", list(Withdrawn))
def test_a_withdrawn_endorsement_admits_nothing(candidate: Candidate, standing: Withdrawn) -> None:
    assert refusal_by(endorsement_is_in_force, candidate) is None
    withdrawal = Withdrawal(below=9, standing=standing, at_s=0, by="operator")
    ended = replace(candidate, withdrawal=withdrawal)
    assert refusal_by(endorsement_is_in_force, ended) is REASON_OF[standing]
    with pytest.raises(PeerError, match=f"{standing} by operator at 1970"):
        endorsement_is_in_force(ended)


def test_admission_asks_the_statements(admitting: Admitting) -> None:
    statements = Statements(lambda _: EVERYTHING)
    withdrawal = Withdrawal(below=2**32, standing=Withdrawn.REVOKED, at_s=0)
    statement = TrustStatement(
        issuer="e", number=1, issued_s=0, not_after_s=9, withdrawn={admitting.device.ueid: withdrawal}
    )
    admitting.bench.trust = replace(admitting.bench.trust, statements=statements)
    admitting.admit()
    statements.take(statement)
    assert admitting.refusal() is Reason.ATTESTING_KEY_REVOKED


def test_no_check_takes_a_push_without_an_endorsed_key(candidate: Candidate) -> None:
    lone = replace(candidate, key=None)
    assert refusal_by(attester_is_endorsed, lone) is Reason.ATTESTER_UNENDORSED
    assert refusal_by(environment_is_endorsed, lone) is Reason.ATTESTING_KEY_MISMATCH
    assert refusal_by(quote_is_signed, lone) is Reason.ATTESTER_UNENDORSED
    assert refusal_by(sync_is_signed, lone) is Reason.ATTESTER_UNENDORSED


def test_the_body_names_the_topics_attester_and_the_endorsed_key(candidate: Candidate) -> None:
    assert refusal_by(ueid_is_the_topics, candidate) is None
    assert refusal_by(environment_is_endorsed, candidate) is None
    stray = replace(candidate, topic_ueid=Ueid(bytes(33)))
    assert refusal_by(ueid_is_the_topics, stray) is Reason.UEID_MISMATCH
    with pytest.raises(PeerError, match=f"{ueid_text(candidate.topic_ueid)}.*{ueid_text(stray.topic_ueid)}"):
        ueid_is_the_topics(stray)
    assert candidate.key is not None
    other: EndorsedKey = replace(candidate.key, name=bytes(34))
    assert refusal_by(environment_is_endorsed, replace(candidate, key=other)) is Reason.ATTESTING_KEY_MISMATCH


def test_a_quote_is_of_its_body_and_by_its_key(candidate: Candidate) -> None:
    assert refusal_by(quote_binds_body, candidate) is None
    assert refusal_by(quote_is_signed, candidate) is None
    quote = replace(candidate.unverified_quote, extra_data=bytes(32))
    unbound = replace(candidate, unverified_quote=quote)
    assert refusal_by(quote_binds_body, unbound) is Reason.QUOTE_NOT_BOUND_TO_BODY
    changed = replace(candidate, evidence=replace(candidate.evidence, quote=candidate.evidence.quote + b"\0"))
    assert refusal_by(quote_is_signed, changed) is Reason.QUOTE_SIGNATURE_INVALID


# -- newer than what was accepted --------------------------------------------------------------------------------------


def test_a_first_push_is_newer_than_nothing(candidate: Candidate) -> None:
    assert refusal_by(evidence_is_newer, replace(candidate, state=None, change=ClockChange.REPLAYED)) is None
    assert candidate.state is not None
    clock = candidate.unverified_quote.clock_info
    later = replace(candidate.state, reset_count=clock.reset_count + 2, clock_ms=clock.clock + 5)
    replayed = replace(candidate, change=ClockChange.REPLAYED, state=later)
    assert refusal_by(evidence_is_newer, replayed) is Reason.EVIDENCE_REPLAYED
    with pytest.raises(PeerError, match="-2 resets and -5 ms"):
        evidence_is_newer(replayed)


@pytest.mark.parametrize(
    ("known", "newest_us", "refused"),
    [(True, T0_US, False), (True, T0_US + 1, True), (True, None, False), (False, None, True), (False, T0_US, True)],
)
def test_once_the_counters_went_back_a_handle_no_older_than_the_newest_must_order_pushes(
    candidate: Candidate, known: bool, newest_us: int | None, refused: bool
) -> None:
    assert candidate.state is not None
    state = replace(candidate.state, went_back=True, handle_time_us=newest_us)
    back = replace(candidate, state=state, handle=candidate.handle if known else None)
    assert (refusal_by(evidence_is_newer, back) is Reason.EVIDENCE_REPLAYED) is refused
    on = replace(back, state=replace(state, went_back=False))
    assert refusal_by(evidence_is_newer, on) is None


@pytest.mark.parametrize(
    ("newest_us", "known", "change"),
    [
        (T0_US - 1, True, ClockChange.CLEARED),
        (T0_US, True, ClockChange.REPLAYED),
        (None, True, ClockChange.REPLAYED),
        (T0_US - 1, False, ClockChange.REPLAYED),
    ],
)
def test_a_reset_count_that_went_down_needs_a_known_and_newer_handle(
    admitting: Admitting, newest_us: int | None, known: bool, change: ClockChange
) -> None:
    admitting.in_state(reset_count=2, handle_time_us=newest_us)
    if not known:
        admitting.know()
    if change is ClockChange.REPLAYED:
        assert admitting.refusal() is Reason.EVIDENCE_REPLAYED
    else:
        assert admitting.admit().change is change


def test_every_counter_and_the_number_of_the_push_order_two_quotes(admitting: Admitting) -> None:
    assert admitting.admit().change is ClockChange.RUNNING
    device, state = admitting.device, admitting.state
    assert state is not None
    again = device.push(elapsed_ms=0)
    admitting.in_state(clock_ms=device.clock_ms, sequence=again.body.sequence - 1)
    assert admitting.admit(again).change is ClockChange.RUNNING
    admitting.in_state(sequence=again.body.sequence)
    assert admitting.refusal(again) is Reason.EVIDENCE_REPLAYED
    device.restart_count += 1
    assert admitting.admit().change is ClockChange.RESUMED
    device.reset_count += 1
    assert admitting.admit().change is ClockChange.REBOOTED
    admitting.state = None
    assert admitting.admit().change is ClockChange.RUNNING


def test_a_replay_is_found_before_any_signature_is_verified(admitting: Admitting) -> None:
    old = admitting.device.push()
    admitting.in_state(clock_ms=admitting.device.clock_ms, sequence=old.body.sequence)
    (broken,) = (replace(old, signature=old.signature[:-1] + bytes([old.signature[-1] ^ 1])),)
    assert admitting.refusal(broken) is Reason.EVIDENCE_REPLAYED


# -- increments --------------------------------------------------------------------------------------------------------


def bound(candidate: Candidate, digests: dict[str, bytes], increments: dict[str, bytes]) -> Candidate:
    body = replace(candidate.evidence.body, increment_digests=digests)
    sent = {name: LogIncrement(records=records, total=1) for name, records in increments.items()}
    return replace(candidate, evidence=replace(candidate.evidence, body=body, unsigned_increments=sent))


RIGHT, WRONG = hashlib.sha256(b"entry").digest(), bytes(32)


@pytest.mark.parametrize(
    ("digests", "increments", "taken"),
    [
        ({}, {}, True),
        ({"tcg2": RIGHT}, {"tcg2": b"entry"}, True),
        ({"tcg2": WRONG}, {"tcg2": b"entry"}, False),
        ({}, {"tcg2": b"entry"}, False),
        ({}, {"cel/app": b"entry"}, False),
        ({"cel/app": RIGHT}, {"cel/app": b"entry"}, True),
        ({}, {"ima": b"entry"}, True),  # every byte of it is in a PCR
        ({"ima": RIGHT}, {"ima": b"entry"}, True),
        ({"ima": WRONG}, {"ima": b"entry"}, False),
        ({}, {"tcg2": b""}, True),
        ({"tcg2": RIGHT}, {}, False),
        ({"tcg2": RIGHT, "ima": RIGHT}, {"tcg2": b"entry"}, False),
        ({"tcg2": RIGHT}, {"tcg2": b"entry", "cel/app": b"entry"}, False),
    ],
)
def test_increments_are_those_that_the_body_names(
    candidate: Candidate, digests: dict[str, bytes], increments: dict[str, bytes], taken: bool
) -> None:
    refused = refusal_by(increments_are_bound, bound(candidate, digests, increments))
    assert refused is (None if taken else Reason.LOG_NOT_BOUND_TO_BODY)


def test_an_increment_that_was_taken_out_on_the_way_is_missed(admitting: Admitting) -> None:
    admitting.device.measure_boot(4, b"late")
    push = admitting.device.push()
    assert admitting.refusal(replace(push, unsigned_increments={})) is Reason.LOG_NOT_BOUND_TO_BODY


# -- the sync proof ----------------------------------------------------------------------------------------------------


def test_a_proof_that_was_verified_needs_no_key_any_more(candidate: Candidate) -> None:
    assert candidate.state is not None
    known = replace(candidate, unverified_sync=candidate.state.sync, key=None)
    assert refusal_by(sync_is_signed, known) is None


def test_a_proof_that_was_verified_is_not_verified_again(admitting: Admitting) -> None:
    assert admitting.state is not None
    assert admitting.admit().sync is admitting.state.sync


def test_the_same_quote_under_another_signature_is_another_proof(admitting: Admitting) -> None:
    assert admitting.device.proof is not None
    admitting.device.proof = replace(admitting.device.proof, signature=bytes.fromhex("0018000b0001010001") + b"\1")
    assert admitting.refusal() is Reason.SYNC_SIGNATURE_INVALID


def test_a_proof_that_another_key_made_is_not_taken_because_it_was_verified_for_that_key(bench: Bench) -> None:
    """The endorser has replaced the device's key; who holds the new one must synchronise it himself."""
    successor = FakeDevice()
    successor.proof = bench.device.proof
    key = endorsed_key(make_endorsement(successor.ueid, successor.public))
    bench.trust = replace(bench.trust, endorsed={successor.ueid: key})
    taken = bench.take(successor.push())
    assert taken.refused is not None
    assert taken.refused.reason is Reason.SYNC_SIGNATURE_INVALID


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.take(made.device.push())
    return made


def test_what_is_kept_of_a_proof(admitting: Admitting) -> None:
    device, handle = admitting.device, make_handle(1)
    device.clock_ms, device.clock_set_ms = 5000, 1500
    device.sync(handle)
    proof = device.proof
    assert proof is not None
    sync = admitting.admit().sync
    assert sync.digest == hashlib.sha256(len(proof.attest).to_bytes(4) + proof.attest + proof.signature).digest()
    assert sync.handle == handle.id
    assert (sync.clock_ms, sync.reset_count, sync.restart_count) == (5000, 1, 0)
    assert sync.time_ms == 3500
    assert sync.stamped_before_us is None
    device.sync_by_quote(handle)
    assert admitting.admit().sync.time_ms is None


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_proof_signs_the_digest_of_a_handle(admitting: Admitting, size: int) -> None:
    attest, signature = admitting.device.quote(bytes(size))
    admitting.device.proof = SyncProof(attest=attest, signature=signature)
    assert admitting.refusal() is Reason.SYNC_SIGNATURE_INVALID


def test_no_clock_is_beyond_what_results_can_hold(admitting: Admitting) -> None:
    device = admitting.device
    device.clock_ms = MAX_CLOCK_MS
    device.sync(admitting.bench.handle)
    assert admitting.admit(device.push(elapsed_ms=0)).sync.clock_ms == MAX_CLOCK_MS
    assert admitting.refusal(device.push(elapsed_ms=1)) is Reason.MALFORMED
    device.clock_ms = MAX_CLOCK_MS + 1
    device.sync(admitting.bench.handle)
    device.clock_ms = 5000
    assert admitting.refusal(device.push()) is Reason.MALFORMED


# -- the token over the sync proof -------------------------------------------------------------------------------------


class Stamps:
    """Takes every token; counts."""

    def __init__(self) -> None:
        self.imprints: list[bytes] = []

    def verify_stamp(self, token: bytes, imprint: bytes) -> TstInfo:
        self.imprints.append(imprint)
        if token == b"bad":
            raise PeerError(Reason.HANDLE_STAMP_INVALID, "of nobody we trust")
        at_us = int.from_bytes(token)
        return TstInfo(gen_time_us=at_us, accuracy_us=7, imprint=imprint, serial=1, policy="1.2.3", nonce=None)


@pytest.fixture
def stamps(admitting: Admitting) -> Stamps:
    made = Stamps()
    admitting.bench.trust = replace(admitting.bench.trust, stamps=made)
    return made


def stamped_push(admitting: Admitting, token: bytes) -> Evidence:
    admitting.device.sync_stamp = token
    return admitting.device.push()


def test_a_token_bounds_the_proof_by_all_that_its_tsa_may_be_wrong(admitting: Admitting, stamps: Stamps) -> None:
    push = stamped_push(admitting, (T0_US + 123_456).to_bytes(8))
    admitted = admitting.admit(push)
    assert admitted.sync.stamped_before_us == T0_US + 123_456 + 7 + 1
    assert admitted.sync_stamp_problem == ""
    assert stamps.imprints == [push.body.sync_imprint]
    admitting.in_state(sync=admitted.sync)
    assert admitting.admit(stamped_push(admitting, b"bad")).sync is admitted.sync
    assert len(stamps.imprints) == 1


def test_a_bad_token_is_named_with_its_reason_and_bounds_nothing(admitting: Admitting, stamps: Stamps) -> None:
    admitted = admitting.admit(stamped_push(admitting, b"bad"))
    assert admitted.sync.stamped_before_us is None
    assert admitted.sync_stamp_problem == "handle-stamp-invalid: of nobody we trust"
    assert len(stamps.imprints) == 1


def test_without_a_token_or_without_anybody_to_verify_it_nothing_is_bounded(admitting: Admitting) -> None:
    admitted = admitting.admit(stamped_push(admitting, bytes(8)))
    assert (admitted.sync.stamped_before_us, admitted.sync_stamp_problem) == (None, "")


def test_no_token_is_asked_for_where_none_was_sent(admitting: Admitting, stamps: Stamps) -> None:
    assert admitting.admit().sync_stamp_problem == ""
    assert stamps.imprints == []


# -- what is admitted --------------------------------------------------------------------------------------------------


def test_what_was_admitted_is_what_was_received(admitting: Admitting) -> None:
    newest = HandleId(bytes(32))
    admitting.bench.trust = replace(admitting.bench.trust, newest=newest)
    evidence = admitting.device.push()
    admitted = admitting.admit(evidence, received_us=RECEIVED_US + 5)
    assert admitted.evidence is evidence
    assert admitted.quoted is admitted.quote.attested
    assert admitted.quote.extra_data == evidence.body_digest
    assert (admitted.received_us, admitted.received_after) == (RECEIVED_US + 5, newest)


def test_a_time_attestation_is_no_quote(admitting: Admitting) -> None:
    push = admitting.device.push()
    proof = push.body.sync
    assert admitting.refusal(replace(push, quote=proof.attest, signature=proof.signature)) is Reason.ATTEST_TYPE_WRONG


def test_validity_is_of_the_receipt(admitting: Admitting) -> None:
    key = admitting.bench.trust.endorsed[admitting.device.ueid]
    ended = replace(key, endorsement=replace(key.endorsement, not_after_s=RECEIVED_US // SECOND_US))
    admitting.bench.trust = replace(admitting.bench.trust, endorsed={admitting.device.ueid: ended})
    push = admitting.device.push()
    assert admitting.admit(push, received_us=RECEIVED_US).evidence is push
    with pytest.raises(PeerError) as refused:
        admitting.admit(push, received_us=RECEIVED_US + SECOND_US)
    assert refused.value.reason is Reason.ENDORSEMENT_EXPIRED
