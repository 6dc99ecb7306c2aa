"""``step``: what each push does to state and verdict, by honest devices and by attackers."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.limits import MAX_CLAIMS
from schemas.messages.evidence import VANISHED, Evidence, LogIncrement, encode_evidence, parse_evidence
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.builders.file_signing import file_key, sign_file
from tests.builders.log_bytes import agile_event, ima_record
from tests.worlds.device import (
    GOOD_FILES,
    FakeDevice,
    make_handle,
    make_references,
    make_trust,
)
from tests.worlds.step_bench import RECEIVED_US, Bench
from verifier_worker.core.state_codec import decode_state, encode_state
from verifier_worker.core.step import Step, overdue, step


@pytest.fixture
def bench() -> Bench:
    """After an accepted baseline."""
    made = Bench()
    made.take(made.device.push())
    return made


def reasons_of(taken: Step) -> set[Reason]:
    """The codes of a step's findings."""
    return {finding.reason for finding in taken.findings}


def test_a_baseline_of_a_good_device_is_affirmed(bench: Bench) -> None:
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert bench.state is not None
    booted = {TrustClaim.INSTANCE_IDENTITY: 2, TrustClaim.CONFIGURATION: 2, TrustClaim.EXECUTABLES: 3}
    assert bench.state.verdict.vector == booted, "no file was measured yet"
    assert bench.state.replay.next_index == {"tcg2": 9, "ima": 1}
    bench.device.run(b"/usr/bin/true", b"true")
    bench.take(bench.device.push())
    listed = {TrustClaim.EXECUTABLES: 2, TrustClaim.FILE_SYSTEM: 2}
    assert bench.state.verdict.vector == {**booted, **listed}
    assert bench.state.claims == {"kernel": "6.1"}


def test_heartbeats_and_deltas_stay_affirmed(bench: Bench) -> None:
    for path, content in GOOD_FILES.items():
        bench.take(bench.device.push())
        bench.device.run(path, content)
        assert bench.take(bench.device.push(claims={"kernel": "6.2"})).solicit is None
        assert bench.verdict() == (Tier.AFFIRMING, set())
    assert bench.state is not None
    assert bench.state.replay.next_index["ima"] == 4
    assert bench.state.claims == {"kernel": "6.2"}


def test_an_unknown_file_contraindicates_by_name_until_a_clean_boot(bench: Bench) -> None:
    bench.device.run(b"/tmp/rootkit", b"evil")
    taken = bench.take(bench.device.push())
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})
    assert [finding.detail for finding in taken.findings] == ["/tmp/rootkit"]
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.CONTRAINDICATED
    bench.device.reboot()
    bench.device.sync(bench.handle)
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, {Reason.REBOOTED})
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_other_firmware_contraindicates(bench: Bench) -> None:
    bench.device.reboot()
    bench.device.measure_boot(4, b"another boot loader")
    bench.device.sync(bench.handle)
    taken = bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.CONTRAINDICATED
    assert Reason.PCR_UNEXPECTED in reasons_of(taken)
    assert "PCR sha256:4" in [finding.detail for finding in taken.findings]


def test_a_violation_warns(bench: Bench) -> None:
    record = ima_record(b"ima-ng", b"sha256:\0" + bytes(32), b"/etc/motd\0", template_hash=bytes(20))
    bench.device.ima_list.append(record)
    bench.device.extend(10, b"\xff" * 32)
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.WARNING, {Reason.FILE_MEASUREMENT_VIOLATED})


def test_the_last_push_again_is_a_duplicate(bench: Bench) -> None:
    push = bench.device.push()
    bench.take(push)
    before = bench.state
    taken = bench.take(push)
    assert taken.duplicate
    assert bench.state == before


def test_old_evidence_is_refused_and_changes_no_verdict(bench: Bench) -> None:
    old = bench.device.push()
    bench.take(old)
    bench.take(bench.device.push())
    taken = bench.take(old)
    assert taken.refused is not None
    assert taken.refused.reason is Reason.EVIDENCE_REPLAYED
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert bench.state is not None
    assert bench.state.rejections is not None
    assert (bench.state.rejections.count, bench.state.rejections.last) == (1, Reason.EVIDENCE_REPLAYED)


def test_evidence_of_an_earlier_boot_is_refused(bench: Bench) -> None:
    old = bench.device.push()
    bench.device.reboot()
    bench.device.sync(bench.handle)
    bench.take(bench.device.push())
    taken = bench.take(old)
    assert taken.refused is not None
    assert taken.refused.reason is Reason.EVIDENCE_REPLAYED


def test_evidence_on_another_attesters_topic_is_refused(bench: Bench) -> None:
    other = FakeDevice(label=b"other")
    trust = make_trust(bench.device, other, handles=(bench.handle,))
    taken = step(None, other.ueid, bench.device.push(), RECEIVED_US, trust)
    assert taken.refused is not None
    assert taken.refused.reason is Reason.UEID_MISMATCH
    assert taken.state is None


def test_a_stranger_cannot_speak_for_an_attester(bench: Bench) -> None:
    stranger = FakeDevice()  # same name, another key
    stranger.sync(bench.handle)
    for push, reason in (
        (stranger.push(), Reason.ATTESTING_KEY_MISMATCH),
        (_in_the_name_of(stranger, bench.device), Reason.QUOTE_SIGNATURE_INVALID),
    ):
        taken = bench.take(push)
        assert taken.refused is not None
        assert taken.refused.reason is reason
        assert bench.verdict() == (Tier.AFFIRMING, set())


def _in_the_name_of(stranger: FakeDevice, device: FakeDevice) -> Evidence:
    body = replace(stranger.push().body, environment=device.public.name, sequence=99)
    stranger.clock_ms = device.clock_ms + 1000
    return stranger.sign(body, {}, {})


def test_an_unendorsed_attester_is_refused() -> None:
    bench = Bench()
    trust = make_trust(bench.device, handles=(bench.handle,))
    trust = replace(trust, endorsed={})
    taken = step(None, bench.device.ueid, bench.device.push(), RECEIVED_US, trust)
    assert taken.refused is not None
    assert taken.refused.reason is Reason.ATTESTER_UNENDORSED


@pytest.mark.parametrize(
    ("not_before_s", "not_after_s", "reason"),
    [
        (0, RECEIVED_US // 1_000_000 - 1, Reason.ENDORSEMENT_EXPIRED),
        (RECEIVED_US // 1_000_000 + 1, 2**40, Reason.ENDORSEMENT_NOT_YET_VALID),
    ],
)
def test_an_endorsement_counts_while_it_is_valid(not_before_s: int, not_after_s: int, reason: Reason) -> None:
    bench = Bench()
    trust = make_trust(bench.device, handles=(bench.handle,))
    key = trust.endorsed[bench.device.ueid]
    endorsement = replace(key.endorsement, not_before_s=not_before_s, not_after_s=not_after_s)
    trust = replace(trust, endorsed={bench.device.ueid: replace(key, endorsement=endorsement)})
    taken = step(None, bench.device.ueid, bench.device.push(), RECEIVED_US, trust)
    assert taken.refused is not None
    assert taken.refused.reason is reason


def test_a_body_that_was_not_quoted_is_refused(bench: Bench) -> None:
    push = bench.device.push()
    other = bench.device.push(claims={"kernel": "lie"})
    taken = bench.take(replace(push, body=other.body, raw_body=other.raw_body))
    assert taken.refused is not None
    assert taken.refused.reason is Reason.QUOTE_NOT_BOUND_TO_BODY


def test_a_time_attestation_is_no_quote(bench: Bench) -> None:
    push = bench.device.push()
    taken = bench.take(replace(push, quote=push.body.sync.attest, signature=push.body.sync.signature))
    assert taken.refused is not None
    assert taken.refused.reason is Reason.ATTEST_TYPE_WRONG


def test_a_sync_proof_by_another_key_is_refused(bench: Bench) -> None:
    stranger = FakeDevice()
    stranger.sync(bench.handle)
    bench.device.proof = stranger.proof
    taken = bench.take(bench.device.push())
    assert taken.refused is not None
    assert taken.refused.reason is Reason.SYNC_SIGNATURE_INVALID


def test_a_long_log_in_parts_is_undecided_until_the_last(bench: Bench) -> None:
    fresh = Bench()
    for number in range(7):
        fresh.device.run(b"/usr/bin/true", b"true")
        assert number < 7
    for _ in range(3):
        fresh.take(fresh.device.push(limits={"ima": 2}))
        assert fresh.verdict() == (Tier.NONE, {Reason.LOG_INCOMPLETE})
    fresh.take(fresh.device.push(limits={"ima": 2}))
    assert fresh.verdict() == (Tier.AFFIRMING, set())


def test_a_lost_push_is_a_gap_and_a_full_push_closes_it(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/cat", b"cat")
    bench.device.push(claims={"kernel": "7"})  # lost
    taken = bench.take(bench.device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.SEQUENCE_GAP})
    assert taken.solicit is not None
    assert taken.solicit.logs == {"tcg2": 9, "ima": 1}
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.SEQUENCE_GAP})
    bench.take(bench.device.push(full=True, resend=taken.solicit.logs))
    assert bench.verdict() == (Tier.AFFIRMING, set())
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_a_log_that_starts_too_late_is_a_gap(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/cat", b"cat")
    bench.device.run(b"/usr/bin/true", b"true")
    taken = bench.take(bench.device.push(resend={"ima": 2}))
    assert bench.verdict() == (Tier.NONE, {Reason.LOG_GAP})
    assert taken.solicit is not None
    bench.take(bench.device.push(full=True, resend=taken.solicit.logs))
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_a_baseline_in_the_middle_of_a_boot_is_skipped_over(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/cat", b"cat")
    bench.take(bench.device.push(full=True, resend={"tcg2": 0, "ima": 0}))
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert bench.state is not None
    assert bench.state.replay.next_index == {"tcg2": 9, "ima": 2}


def test_a_verifier_that_knows_nothing_asks_for_a_baseline() -> None:
    bench = Bench()
    bench.device.push()
    taken = bench.take(bench.device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.BASELINE_REQUIRED, Reason.LOG_INCOMPLETE})
    assert taken.solicit is not None
    bench.take(bench.device.push(full=True, resend={"tcg2": 0, "ima": 0}))
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_a_delta_after_a_reboot_is_not_enough(bench: Bench) -> None:
    previous = bench.device.previous
    bench.device.reboot()
    bench.device.sync(bench.handle)
    bench.device.previous = previous
    taken = bench.take(bench.device.push(full=False))
    assert bench.verdict()[0] is Tier.NONE
    assert Reason.BASELINE_REQUIRED in reasons_of(taken)


def test_entries_beyond_the_quote_wait_for_the_next(bench: Bench) -> None:
    held = bench.device.pcrs[10]
    bench.device.run(b"/usr/bin/cat", b"cat")
    extended, bench.device.pcrs[10] = bench.device.pcrs[10], held
    bench.take(bench.device.push())  # the entry travels, the quote does not cover it
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert bench.state is not None
    assert bench.state.replay.next_index["ima"] == 1
    assert bench.state.tails["ima"]
    bench.device.pcrs[10] = extended
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert bench.state.replay.next_index["ima"] == 2
    assert not bench.state.tails


# -- an attacker who owns the device's operating system ----------------------------------------------------------------


def test_hiding_an_entry_never_affirms(bench: Bench) -> None:
    bench.device.run(b"/tmp/rootkit", b"evil")
    bench.device.ima_list.pop()
    taken = bench.take(bench.device.push())
    assert taken.refused is not None
    assert taken.refused.reason is Reason.LOG_REPLAY_MISMATCH
    assert bench.verdict() == (Tier.AFFIRMING, set())  # as before the push: it ends by its deadline
    assert taken.solicit is not None
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.NONE


def test_renaming_an_unknown_file_to_a_known_path_does_not_help(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/true", b"evil")
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})


def test_pcr_10_as_a_bare_value_does_not_replace_its_list() -> None:
    bench = Bench()
    bench.device.run(b"/tmp/rootkit", b"evil")
    push = bench.device.push()
    body = replace(push.body, logs={"tcg2": 0}, sequence=1)
    increments = {"tcg2": push.unsigned_increments["tcg2"]}
    bench.take(bench.device.sign(body, increments, {SHA256: {8: bytes(32), 9: bytes(32), 10: bench.device.pcrs[10]}}))
    assert bench.verdict()[0] is Tier.NONE
    assert Reason.LOG_MISSING in bench.verdict()[1]


def test_pcr_10_explained_by_a_made_up_boot_log_does_not_replace_its_list() -> None:
    bench = Bench()
    bench.device.run(b"/tmp/rootkit", b"evil")
    honest = bench.device.push()
    digests = [hashlib.sha256(record[28 + 6 + 4 :]).digest() for record in bench.device.ima_list]
    forged = b"".join(agile_event(10, 4, {SHA256.tpm_id: digest}, b"") for digest in digests)
    records = honest.unsigned_increments["tcg2"].records + forged
    total = honest.unsigned_increments["tcg2"].total + len(digests)
    digests_bound = {"tcg2": hashlib.sha256(records).digest()}
    body = replace(honest.body, logs={"tcg2": 0}, increment_digests=digests_bound, sequence=1)
    pcrs = {SHA256: {8: bytes(32), 9: bytes(32)}}
    taken = bench.take(bench.device.sign(body, {"tcg2": LogIncrement(records=records, total=total)}, pcrs))
    assert taken.refused is None
    assert bench.verdict()[0] is Tier.NONE
    assert Reason.LOG_MISSING in bench.verdict()[1]


def test_an_ima_list_that_extends_another_pcr_does_not_hide_pcr_10() -> None:
    bench = Bench()
    bench.device.run(b"/tmp/rootkit", b"evil")
    decoy = ima_record(b"ima-ng", b"sha256:\0" + hashlib.sha256(b"true").digest(), b"/bin/true\0", pcr_index=11)
    push = bench.device.push()
    increments = {**push.unsigned_increments, "ima": LogIncrement(records=decoy, total=1)}
    pcrs = {SHA256: {8: bytes(32), 9: bytes(32), 10: bench.device.pcrs[10]}}
    bench.take(bench.device.sign(replace(push.body, sequence=1), increments, pcrs))
    assert bench.verdict()[0] is Tier.NONE
    assert Reason.LOG_MISSING in bench.verdict()[1]


def test_quoting_fewer_pcrs_than_the_policy_asks_is_undecided() -> None:
    bench = Bench()
    bench.device.selection = type(bench.device.selection)(
        banks=tuple(replace(bank, indices=bank.indices[:8]) for bank in bench.device.selection.banks)
    )
    push = bench.device.push()
    body = replace(push.body, logs={"tcg2": 0}, sequence=1)
    bench.take(bench.device.sign(body, {"tcg2": push.unsigned_increments["tcg2"]}, {}))
    assert bench.verdict()[0] is Tier.NONE
    assert Reason.PCR_NOT_QUOTED in bench.verdict()[1]


def test_promising_more_entries_for_ever_never_affirms(bench: Bench) -> None:
    fresh = Bench()
    fresh.device.run(b"/tmp/rootkit", b"evil")
    for _ in range(3):
        push = fresh.device.push(full=True, resend={"tcg2": 0, "ima": 0}, limits={"ima": 1})
        fresh.take(push)
        assert fresh.verdict() == (Tier.NONE, {Reason.LOG_INCOMPLETE})
    fresh.device.ima_list.pop()
    fresh.take(fresh.device.push())
    assert fresh.verdict()[0] is Tier.NONE


# -- an attacker on the network or broker ------------------------------------------------------------------------------


def _flips(raw: bytes, stride: int) -> Iterable[bytes]:
    for position in range(0, len(raw) * 8, stride):
        flipped = bytearray(raw)
        flipped[position // 8] ^= 1 << position % 8
        yield bytes(flipped)


def _records(evidence: Evidence) -> dict[str, bytes]:
    """What is left of the increments without their totals, which decide nothing."""
    return {name: increment.records for name, increment in evidence.unsigned_increments.items()}


@pytest.mark.parametrize("settled", [False, True])
def test_no_flipped_bit_is_ever_affirmed(settled: bool) -> None:
    bench = Bench()
    if settled:
        bench.take(bench.device.push())
        bench.device.run(b"/usr/bin/cat", b"cat")
    before = bench.state
    push = bench.device.push()
    raw = encode_evidence(push)
    outcomes = set()
    for flipped in _flips(raw, 7):
        try:
            evidence = parse_evidence(flipped)
        except PeerError as error:
            outcomes.add(error.reason)
            continue
        taken = step(before, bench.device.ueid, evidence, bench.now_us, bench.trust)
        if taken.refused is not None:
            outcomes.add(taken.refused.reason)
            assert taken.state == before or before is not None
            continue
        assert taken.state is not None
        if _records(evidence) != _records(push):
            assert taken.state.verdict.status is Tier.NONE
        outcomes.update(reasons_of(taken))
    assert {Reason.MALFORMED, Reason.QUOTE_SIGNATURE_INVALID, Reason.QUOTE_NOT_BOUND_TO_BODY} <= outcomes


def test_a_changed_increment_is_refused_and_the_true_one_still_counts(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/cat", b"cat")
    push = bench.device.push()
    evil = LogIncrement(records=ima_record(b"ima-ng", b"sha256:\0" + bytes(32), b"/evil\0"), total=2)
    taken = bench.take(replace(push, unsigned_increments={"ima": evil}))
    assert taken.refused is not None
    assert taken.refused.reason is Reason.LOG_REPLAY_MISMATCH
    assert bench.take(push).refused is None
    assert bench.verdict() == (Tier.AFFIRMING, set())


# -- time --------------------------------------------------------------------------------------------------------------


def test_an_unknown_handle_leaves_the_result_pending(bench: Bench) -> None:
    bench.device.sync(make_handle(1))
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.HANDLE_UNKNOWN})
    assert bench.state is not None
    assert bench.state.verdict.freshness is Freshness.PENDING
    bench.trust = make_trust(bench.device, handles=(bench.handle, make_handle(1)), policy=bench.policy)
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_evidence_held_back_is_stale_not_bad(bench: Bench) -> None:
    push = bench.device.push()
    bench.now_us += 200_000_000
    bench.take(push)
    assert bench.verdict() == (Tier.NONE, {Reason.EVIDENCE_TOO_OLD})
    assert bench.state is not None
    assert bench.state.verdict.freshness is Freshness.STALE


def test_an_expired_handle_is_stale(bench: Bench) -> None:
    bench.device.clock_ms += 400_000
    bench.now_us += 400_000_000
    bench.take(bench.device.push())
    assert Reason.HANDLE_EXPIRED in bench.verdict()[1]
    assert bench.verdict()[0] is Tier.NONE


def test_a_resume_between_sync_and_quote_is_unsynchronised(bench: Bench) -> None:
    bench.device.resume()
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.CLOCK_EPOCH_MISMATCH, Reason.RESUMED})
    bench.device.sync(bench.handle)
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_a_clock_ahead_of_the_verifier_contradicts(bench: Bench) -> None:
    bench.device.clock_ms += 60_000
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.CLOCK_AHEAD_OF_VERIFIER})


def test_silence_makes_stale_and_the_next_push_recovers(bench: Bench) -> None:
    assert bench.state is not None
    assert bench.state.deadline_us is not None
    assert overdue(bench.state, bench.state.deadline_us - 1) is bench.state
    stale = overdue(bench.state, bench.state.deadline_us)
    assert (stale.verdict.status, stale.verdict.freshness) == (Tier.NONE, Freshness.STALE)
    assert stale.verdict.reasons == (Reason.EVIDENCE_OVERDUE,)
    assert stale.deadline_us is None
    bench.state = stale
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_silence_does_not_make_a_bad_device_better(bench: Bench) -> None:
    bench.device.run(b"/tmp/rootkit", b"evil")
    bench.take(bench.device.push())
    assert bench.state is not None
    assert bench.state.deadline_us is not None
    stale = overdue(bench.state, bench.state.deadline_us)
    assert stale.verdict.status is Tier.CONTRAINDICATED
    assert stale.verdict.reasons == (Reason.EVIDENCE_OVERDUE, Reason.FILE_UNEXPECTED)


# -- policy and reference values ---------------------------------------------------------------------------------------


def test_without_a_policy_or_reference_values_nothing_is_decided(bench: Bench) -> None:
    with_policy = bench.trust
    bench.trust = make_trust(bench.device, handles=(bench.handle,), references=())
    bench.take(bench.device.push(full=True, resend={"tcg2": 0, "ima": 0}))
    assert bench.verdict()[0] is Tier.NONE
    assert Reason.REFERENCE_VALUES_MISSING in bench.verdict()[1]
    bench.trust = replace(with_policy, policy=None)
    bench.take(bench.device.push(full=True, resend={"tcg2": 0, "ima": 0}))
    assert Reason.POLICY_MISSING in bench.verdict()[1]
    bench.trust = with_policy
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.NONE
    bench.take(bench.device.push(full=True, resend={"tcg2": 0, "ima": 0}))
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_new_reference_values_make_everything_be_appraised_again(bench: Bench) -> None:
    bench.device.run(b"/opt/new", b"new")
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.CONTRAINDICATED
    more = {hashlib.sha256(content).digest(): "f" for content in (*GOOD_FILES.values(), b"new")}
    references = make_references(bench.device, version=2, files=more)
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    taken = bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.NONE
    assert taken.solicit is not None
    bench.take(bench.device.push(full=True, resend={"tcg2": 0, "ima": 0}))
    assert bench.verdict() == (Tier.AFFIRMING, set())


# -- claims: the attester's word ---------------------------------------------------------------------------------------


def test_claims_add_up_and_a_vanished_one_is_gone(bench: Bench) -> None:
    bench.take(bench.device.push(claims={"os": "Debian"}))
    bench.take(bench.device.push(claims={"kernel": VANISHED}))
    bench.take(bench.device.push())
    assert bench.state is not None
    assert bench.state.claims == {"os": "Debian"}


def test_claims_of_many_deltas_do_not_add_up_without_end(bench: Bench) -> None:
    def claims(start: int) -> dict[str, str]:
        return {f"claim-{number}": "x" for number in range(start, start + MAX_CLAIMS // 2)}

    bench.take(bench.device.push(full=True, claims=claims(0)))
    taken = bench.take(bench.device.push(claims=claims(100)))
    assert taken.refused is not None
    assert taken.refused.reason is Reason.TOO_LARGE
    assert bench.take(bench.device.push()).solicit is not None
    assert bench.verdict() == (Tier.NONE, {Reason.SEQUENCE_GAP})


def test_a_file_that_a_listed_key_signed_is_expected(bench: Bench) -> None:
    key, stranger = ec.derive_private_key(5, ec.SECP256R1()), ec.derive_private_key(6, ec.SECP256R1())
    listed = replace(make_references(bench.device), keys=(file_key(key),), files={})
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(listed,))
    bench.state = None

    def run_signed(path: bytes, signer: ec.EllipticCurvePrivateKey) -> None:
        digest = SHA256.digest(path)
        record = ima_record(b"ima-sig", b"sha256:\0" + digest, path + b"\0", sign_file(signer, digest))
        bench.device.measure_record(record)

    run_signed(b"/usr/bin/signed", key)
    bench.take(bench.device.push(full=True, resend={"tcg2": 0, "ima": 0}))
    assert bench.verdict() == (Tier.AFFIRMING, set())
    run_signed(b"/usr/bin/forged", stranger)
    taken = bench.take(bench.device.push())
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})
    assert [finding.detail for finding in taken.findings] == ["/usr/bin/forged"]


def test_an_aggregate_of_another_boot_contraindicates(bench: Bench) -> None:
    bench.device.measure_record(ima_record(b"ima-ng", b"sha256:\0" + bytes(32), b"boot_aggregate\0"))
    taken = bench.take(bench.device.push())
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.BOOT_AGGREGATE_MISMATCH})
    assert [finding.detail for finding in taken.findings] == ["boot_aggregate"]


def test_the_aggregate_of_a_kernel_started_by_kexec_is_affirmed(bench: Bench) -> None:
    bench.device.measure_record(bench.device.ima_list[0])
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_kernel_that_pads_sha1_is_affirmed_and_told(limit: int) -> None:
    bench = Bench()
    bench.device.pads_sha1 = True
    bench.device.boot()
    bench.device.sync(bench.handle)
    for path, content in GOOD_FILES.items():
        bench.device.run(path, content)
    bench.take(bench.device.push(limits={"ima": limit}))
    while bench.device.sent["ima"] < len(bench.device.ima_list):
        assert bench.verdict() == (Tier.NONE, {Reason.LOG_INCOMPLETE})
        bench.take(bench.device.push(limits={"ima": limit}))
    assert bench.verdict() == (Tier.AFFIRMING, {Reason.IMA_BANK_PADDED_SHA1})
    bench.device.run(b"/usr/bin/true", b"true")
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, {Reason.IMA_BANK_PADDED_SHA1})


def test_bank_modes_that_no_quote_has_told_survive_a_restart(bench: Bench) -> None:
    assert bench.state is not None
    padded = {SHA256: {10: b"\x05" * 32}}
    state = replace(bench.state, replay=replace(bench.state.replay, padded=padded))
    stored = decode_state(encode_state(state))
    assert stored is not None
    assert stored.replay.padded == padded


def test_without_a_policy_a_baseline_is_asked_for_once_and_again_as_soon_as_there_is_one() -> None:
    """Asking in vain would make the verifier ask ever more seldom, and then late."""
    bench = Bench()
    judging = bench.trust
    bench.device.push()  # the baseline is lost
    bench.trust = replace(judging, policy=None)
    asked = [bench.take(bench.device.push()).solicit for _ in range(4)]
    assert asked[0] is not None
    assert asked[0].reason is Reason.BASELINE_REQUIRED
    assert asked[1:] == [None, None, None]
    assert bench.verdict()[0] is Tier.NONE
    assert Reason.BASELINE_REQUIRED not in bench.verdict()[1]
    bench.trust = judging
    assert bench.take(bench.device.push()).solicit is not None
    bench.take(bench.device.push(full=True, resend={"tcg2": 0, "ima": 0}))
    assert bench.verdict() == (Tier.AFFIRMING, set())
