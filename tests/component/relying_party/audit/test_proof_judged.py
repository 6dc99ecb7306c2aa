"""A proof says yes only for what was true at the time, by what was in force at the time, having looked at all between.

Attackers: root on the device, who resets PCR 16; and the operator of the audit log, who leaves entries out of a proof,
moves them, or takes them from elsewhere.
"""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from relying_party.audit.proof_check import Answer, check_proof
from relying_party.audit.proof_verdict import Verdict
from schemas.audit.entry import EvidenceEntry, ObjectEntry, parse_entry
from schemas.audit.proof import AuditProof, ProvenEntry, parse_proof
from schemas.errors import PeerError
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import Outgoing, sign_reference_values
from schemas.reasons import Reason
from schemas.topics import TopicKind
from schemas.tpm.pcr import parse_selection_text
from tests.worlds.device import GOOD_FILES, make_references
from tests.worlds.proven_log import Proven, ProvenLog, go_on
from tests.worlds.recorded_verifier import POLICY, Recording
from tests.worlds.verifier import ISSUER

EVIL = (b"/tmp/evil", b"evil")
DIGEST = hashlib.sha256(EVIL[1]).digest()
GOOD_DIGESTS = {hashlib.sha256(content).digest(): path.decode() for path, content in GOOD_FILES.items()}
Act = Callable[[Recording], None]


def push(recording: Recording) -> None:
    recording.deliver(recording._made())
    recording.pass_s(1)


def nothing(_: Recording) -> None:
    """An uneventful time."""


def story(
    at_end: ExitStack,
    folder: Path,
    *,
    first: Act = nothing,
    before: Act = nothing,
    after: Act = nothing,
    policy_text: str = POLICY,
) -> Proven:
    """First acts, evidence under a stamp, acts before the time, acts after it, evidence under a stamp; it goes on."""
    log = at_end.enter_context(ProvenLog(folder, policy_text=policy_text))
    recording, device = log.recording, log.recording.device
    first(recording)
    device.sync(recording.new_handle())
    recording.pass_s(3600)
    device.sync(recording.new_handle())
    push(recording)
    push(recording)
    log.publish()
    recording.pass_s(3)
    before(recording)
    recording.pass_s(3)
    at_us = recording.now_us
    recording.pass_s(3)
    after(recording)
    device.sync(recording.new_handle())
    recording.pass_s(1)
    push(recording)
    log.publish()
    go_on(log)
    return Proven(log=log, at_us=at_us)


def proof_of(proven: Proven) -> AuditProof:
    return parse_proof(proven.prove().read_bytes())


def answer_of(proven: Proven) -> Answer:
    return check_proof(proof_of(proven), proven.log.trust)


def entry_of(each: ProvenEntry) -> EvidenceEntry | ObjectEntry:
    return parse_entry(each.entry)


def without(made: AuditProof, unwanted: Callable[[ProvenEntry], bool]) -> AuditProof:
    """The operator leaves entries out; the sides stay."""
    kept = tuple(each for each in made.entries if each.index in {made.before, made.after} or not unwanted(each))
    assert len(kept) < len(made.entries)
    return replace(made, entries=kept)


def is_entry(index: int) -> Callable[[ProvenEntry], bool]:
    return lambda each: each.index == index


def is_between(made: AuditProof) -> Callable[[ProvenEntry], bool]:
    assert made.before is not None
    assert made.after is not None
    return lambda each: (made.before or 0) < each.index < (made.after or 0)


def is_evidence_between(made: AuditProof) -> Callable[[ProvenEntry], bool]:
    between = is_between(made)
    return lambda each: between(each) and isinstance(entry_of(each), EvidenceEntry)


def checked(proven: Proven, made: AuditProof) -> Verdict | Reason:
    try:
        return check_proof(made, proven.log.trust).verdict
    except PeerError as error:
        return error.reason


def list_files(recording: Recording, *more: bytes, **changes: object) -> None:
    """Another version of the reference values."""
    recording.versions["good"] += 1
    files = GOOD_DIGESTS | dict.fromkeys(more, "/tmp/evil")
    values = make_references(recording.device, version=recording.versions["good"], **{"files": files, **changes})
    recording.take(TopicKind.REFERENCE_VALUES, "good", sign_reference_values(values, recording.endorser))
    recording.pass_s(1)


def publish_policy(recording: Recording, more: str = "") -> None:
    recording.versions["fleet"] += 1
    text = POLICY.replace('id = "test"\nversion = 1\n', 'id = "fleet"\n') + more
    policy = SignedPolicy(
        id="fleet",
        version=recording.versions["fleet"],
        signer="endorser",
        not_before_s=0,
        not_after_s=2**40,
        text=text,
    )
    recording.take(TopicKind.POLICIES, "fleet", sign_policy(policy, recording.endorser))
    recording.pass_s(1)


def begin_again(recording: Recording) -> None:
    """The next push is a baseline, as the verifier asks for it when policy or values change."""
    recording.device.sent, recording.device.previous = {}, None


def run_evil_and_push(recording: Recording) -> None:
    recording.device.run(*EVIL)
    push(recording)


# ── yes, where nothing happened ──────────────────────────────────────────────────────────────────────────────────────


def test_every_result_in_between_is_looked_at(tmp_path: Path, at_end: ExitStack) -> None:
    def three_pushes(recording: Recording) -> None:
        recording.device.run(b"/usr/bin/cat", b"cat")
        for _ in range(3):
            push(recording)

    answer = answer_of(story(at_end, tmp_path, before=three_pushes, after=three_pushes))
    assert (answer.verdict, answer.missing) == (Verdict.YES, ())
    assert answer.between is not None
    assert (len(answer.between.seen), answer.between.unseen) == (6, ())


def test_values_that_were_outgoing_may_end(tmp_path: Path, at_end: ExitStack) -> None:
    """The same version of a set, and less of it is acceptable at the end."""

    def update(recording: Recording) -> None:
        outgoing = Outgoing(until_s=recording.now_us // 1_000_000 + 3605, registers={}, files={DIGEST: "/old"})
        list_files(recording, outgoing=outgoing)

    def ends(recording: Recording) -> None:
        recording.pass_s(10)

    answer = answer_of(story(at_end, tmp_path, first=update, after=ends))
    assert answer.before is not None
    assert answer.after is not None
    assert answer.before.result.reference_values == ("good/2+",)
    assert answer.after.result.reference_values == ("good/2",)
    assert (answer.verdict, answer.missing) == (Verdict.YES, ())


def test_what_the_policy_excludes_is_no_question(tmp_path: Path, at_end: ExitStack) -> None:
    policy = POLICY + 'exclude = ["/var/cache/*"]\n'

    def cached(recording: Recording) -> None:
        recording.device.run(b"/var/cache/x", b"anything")
        push(recording)

    answer = answer_of(story(at_end, tmp_path, before=cached, policy_text=policy))
    assert (answer.verdict, answer.missing) == (Verdict.YES, ())
    assert answer.after is not None
    assert (answer.after.listing.unlisted_total, answer.after.listing.excused) == (1, 1)


# ── approved since ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_was_bad_at_the_time_and_is_approved_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at_end: ExitStack
) -> None:
    def approved(recording: Recording) -> None:
        list_files(recording, DIGEST)

    proven = story(at_end, tmp_path, before=run_evil_and_push, after=approved)
    answer = answer_of(proven)
    assert answer.after is not None
    assert answer.after.result.status == "affirming"
    assert answer.verdict is Verdict.NO
    capsys.readouterr()
    assert proven.check(proven.log.folder / "proof") == 1
    told = capsys.readouterr().out
    assert "PROVEN, NO" in told
    assert "contraindicated /tmp/evil" in told


def test_a_file_that_was_bad_and_approved_before_the_time_is_no_proven_no(tmp_path: Path, at_end: ExitStack) -> None:
    """By the verifier's word it was approved by then: nothing certain says either."""

    def bad(recording: Recording) -> None:
        recording.device.run(*EVIL)

    def approved(recording: Recording) -> None:
        list_files(recording, DIGEST)

    answer = answer_of(story(at_end, tmp_path, first=bad, before=approved))
    assert answer.before is not None
    assert answer.before.result.status == "contraindicated"
    assert answer.verdict is Verdict.UNKNOWN
    assert any(each.startswith("the first evidence was contraindicated; policy or") for each in answer.missing)
    assert any(each.startswith("approved only since good/2") for each in answer.missing)


def test_a_file_that_no_result_showed_before_it_was_approved(tmp_path: Path, at_end: ExitStack) -> None:
    def run(recording: Recording) -> None:
        recording.device.run(*EVIL)

    def approved(recording: Recording) -> None:
        list_files(recording, DIGEST)

    answer = answer_of(story(at_end, tmp_path, before=run, after=approved))
    assert answer.after is not None
    assert answer.after.result.status == "affirming"
    assert answer.verdict is Verdict.UNKNOWN
    since = [each for each in answer.missing if each.startswith("approved only since good/2, received at 2027-01-15T")]
    assert len(since) == 1
    assert since[0].endswith(f": /tmp/evil {DIGEST.hex()}")


def test_bad_after_the_time_and_approved_still_later_is_not_proven(tmp_path: Path, at_end: ExitStack) -> None:
    def then_approved(recording: Recording) -> None:
        run_evil_and_push(recording)
        list_files(recording, DIGEST)

    answer = answer_of(story(at_end, tmp_path, after=then_approved))
    assert answer.verdict is Verdict.UNKNOWN
    assert any("contraindicated entry" in each for each in answer.missing)


def test_a_pcr_value_that_is_approved_later(tmp_path: Path, at_end: ExitStack) -> None:
    """Another boot loader's value, say: the logs are the same, the values differ."""

    def first(recording: Recording) -> None:
        registers = make_references(recording.device).registers
        bank, values = next(iter(registers.items()))
        list_files(recording, registers={bank: {**values, 7: frozenset({b"\x07" * 32})}})

    def approved(recording: Recording) -> None:
        list_files(recording)

    answer = answer_of(story(at_end, tmp_path, first=first, after=approved))
    assert answer.verdict is Verdict.NO, "the verdict of the first side"


def test_other_values_in_between_leave_the_time_open_even_if_they_approve_the_same(
    tmp_path: Path, at_end: ExitStack
) -> None:
    """Between two versions there can have been a third, which a proof need not hold."""

    def same_again(recording: Recording) -> None:
        list_files(recording)

    answer = answer_of(story(at_end, tmp_path, after=same_again))
    assert answer.verdict is Verdict.UNKNOWN
    (why,) = answer.missing
    assert why.startswith("the reference values changed between the two, from good/1 to good/2 (good/2 received at ")


# ── another policy ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_policy_that_changed_in_between_leaves_the_time_open(tmp_path: Path, at_end: ExitStack) -> None:
    answer = answer_of(story(at_end, tmp_path, first=publish_policy, after=publish_policy))
    assert answer.verdict is Verdict.UNKNOWN
    (why,) = answer.missing
    assert why.startswith("the policy changed between the two, from fleet/1 to fleet/2 (fleet/2 received at ")


def test_a_policy_that_excludes_what_ran_since(tmp_path: Path, at_end: ExitStack) -> None:
    def excluded(recording: Recording) -> None:
        publish_policy(recording, 'exclude = ["/tmp/*"]\n')
        begin_again(recording)

    proven = story(at_end, tmp_path, first=publish_policy, before=run_evil_and_push, after=excluded)
    assert answer_of(proven).verdict is Verdict.NO
    made = proof_of(proven)
    assert checked(proven, without(made, is_evidence_between(made))) is Verdict.UNKNOWN


def test_another_text_of_the_verifiers_own_policy_is_another_policy(tmp_path: Path, at_end: ExitStack) -> None:
    """The operator of the verifier changes its file and restarts it, and leaves the version as it is."""

    def lax(recording: Recording) -> None:
        recording.policy_text = POLICY + 'exclude = ["/tmp/*"]\n'
        recording.restart()
        begin_again(recording)

    def run(recording: Recording) -> None:
        recording.device.run(*EVIL)

    answer = answer_of(story(at_end, tmp_path, before=run, after=lax))
    assert answer.after is not None
    assert answer.after.result.policies == ("test/1",)
    assert answer.verdict is not Verdict.YES


# ── an operator who leaves entries out, moves them, or takes them from elsewhere ─────────────────────────────────────


def test_a_bad_result_left_out_is_not_looked_at(tmp_path: Path, at_end: ExitStack) -> None:
    def rule_is_true_for_a_moment(recording: Recording) -> None:
        recording.deliver(recording._made(claims={"mode": "debug"}))
        recording.pass_s(1)
        recording.deliver(recording._made(claims={"mode": "normal"}))
        recording.pass_s(1)

    policy = POLICY + '[[rules]]\nname = "debugging"\nwhen = \'"mode" in said && said["mode"] == "debug"\'\n'
    proven = story(at_end, tmp_path, before=rule_is_true_for_a_moment, policy_text=policy)
    made = proof_of(proven)
    honest = check_proof(made, proven.log.trust)
    assert honest.verdict is Verdict.NO
    assert honest.between is not None
    bad = next(each.index for each in honest.between.seen if each.result.status == "contraindicated")
    answer = check_proof(without(made, is_entry(bad)), proven.log.trust)
    assert answer.verdict is Verdict.UNKNOWN
    assert any(each.startswith("not looked at: push ") and "left out" in each for each in answer.missing)


def test_whatever_is_left_out_never_makes_a_yes(tmp_path: Path, at_end: ExitStack) -> None:
    def approved(recording: Recording) -> None:
        list_files(recording, DIGEST)

    proven = story(at_end, tmp_path, before=run_evil_and_push, after=approved)
    made = proof_of(proven)
    for each in made.entries:
        if each.index not in {made.before, made.after}:
            assert checked(proven, without(made, is_entry(each.index))) is not Verdict.YES
    assert checked(proven, without(made, is_between(made))) is not Verdict.YES
    assert checked(proven, without(made, is_evidence_between(made))) is not Verdict.YES


def test_a_newer_set_left_out_is_noticed(tmp_path: Path, at_end: ExitStack) -> None:
    """The verifier signs by which version it judged."""

    def withdrawn(recording: Recording) -> None:
        list_files(recording, DIGEST)
        recording.device.run(*EVIL)
        push(recording)

    def approved(recording: Recording) -> None:
        list_files(recording, DIGEST)

    proven = story(at_end, tmp_path, before=withdrawn, after=approved)
    made = proof_of(proven)

    def is_set(each: ProvenEntry) -> bool:
        entry = entry_of(each)
        return isinstance(entry, ObjectEntry) and entry.kind == TopicKind.REFERENCE_VALUES

    sets = [each for each in made.entries if is_set(each)]
    assert len(sets) == 3
    for each in (sets[0], sets[2]):
        assert checked(proven, without(made, is_entry(each.index))) is Reason.AUDIT_PROOF_INVALID


def test_entries_cannot_change_places(tmp_path: Path, at_end: ExitStack) -> None:
    def approved(recording: Recording) -> None:
        list_files(recording, DIGEST)

    proven = story(at_end, tmp_path, before=run_evil_and_push, after=approved)
    made = proof_of(proven)
    for one, other in ((3, 4), (-3, -4), (1, -2)):
        entries = list(made.entries)
        entries[one] = replace(entries[one], entry=made.entries[other].entry)
        entries[other] = replace(entries[other], entry=made.entries[one].entry)
        assert checked(proven, replace(made, entries=tuple(entries))) is Reason.AUDIT_PROOF_INVALID


def test_entries_of_another_log_do_not_fit(tmp_path: Path, at_end: ExitStack) -> None:
    """Good evidence from a log that the same operator keeps for an auditor's eyes."""
    folders = tmp_path / "one", tmp_path / "other"
    for folder in folders:
        folder.mkdir()
    bad = story(at_end, folders[0], before=run_evil_and_push, after=lambda recording: list_files(recording, DIGEST))
    good = story(at_end, folders[1], before=push, after=list_files)
    made, spliced = proof_of(bad), {each.index: each for each in proof_of(good).entries}
    between = is_evidence_between(made)
    entries = tuple(spliced.get(each.index, each) if between(each) else each for each in made.entries)
    assert entries != made.entries
    assert checked(bad, replace(made, entries=entries)) is Reason.AUDIT_PROOF_INVALID


def test_a_verdict_that_came_with_its_handle_is_looked_at(tmp_path: Path, at_end: ExitStack) -> None:
    """Evidence waits for its handle. The operator leaves out what the verifier said when the handle came."""

    def late(recording: Recording) -> None:
        raw = recording.mint.raw(recording.now_us)
        recording.device.sync(recording.verified(raw))
        push(recording)
        recording.take(TopicKind.HANDLES, ISSUER, raw)
        recording.pass_s(1)
        push(recording)

    proven = story(at_end, tmp_path, before=late)
    made = proof_of(proven)
    assert check_proof(made, proven.log.trust).verdict is Verdict.YES

    def came_later(each: ProvenEntry) -> bool:
        entry = entry_of(each)
        return isinstance(entry, EvidenceEntry) and entry.payload is None

    assert sum(map(came_later, made.entries)) == 1
    answer = check_proof(without(made, came_later), proven.log.trust)
    assert answer.verdict is Verdict.UNKNOWN
    assert any("waited for its handle" in each for each in answer.missing)


def test_a_push_that_was_lost_was_not_looked_at(tmp_path: Path, at_end: ExitStack) -> None:
    def lost(recording: Recording) -> None:
        recording._made()
        recording.pass_s(1)
        push(recording)
        recording.deliver(recording._made(full=True, resend={"tcg2": 0, "ima": 0}))
        recording.pass_s(1)

    answer = answer_of(story(at_end, tmp_path, before=lost))
    assert answer.after is not None
    assert answer.after.result.status == "affirming"
    assert answer.verdict is Verdict.UNKNOWN
    assert any("lost on the way, or left out" in each for each in answer.missing)


def test_a_push_of_fewer_pcrs_in_between_does_not_end_the_check(tmp_path: Path, at_end: ExitStack) -> None:
    """The verifier dropped it, and asked for everything again."""

    def fewer(recording: Recording) -> None:
        recording.device.selection = parse_selection_text("sha256:0-9")
        push(recording)
        recording.device.selection = parse_selection_text("sha256:0-10")
        begin_again(recording)
        push(recording)

    answer = answer_of(story(at_end, tmp_path, before=fewer))
    assert answer.after is not None
    assert answer.after.result.status == "affirming"
    assert answer.verdict in {Verdict.YES, Verdict.UNKNOWN}


# ── a verdict alone is no approval ───────────────────────────────────────────────────────────────────────────────────


def test_a_file_whose_approval_was_withdrawn_and_not_judged_again_yet(tmp_path: Path, at_end: ExitStack) -> None:
    """For a while (remeasure_s) old values judge what ran before: the verdict affirms, the proof does not."""
    policy = POLICY.replace("remeasure_s = 30", "remeasure_s = 100000").replace("max_age_s = 600", "max_age_s = 9000")

    def ran_and_withdrawn(recording: Recording) -> None:
        list_files(recording, DIGEST)
        recording.device.sync(recording.new_handle())
        run_evil_and_push(recording)
        list_files(recording)

    answer = answer_of(story(at_end, tmp_path, first=ran_and_withdrawn, policy_text=policy))
    assert answer.after is not None
    assert answer.after.result.status == "affirming"
    assert answer.after.result.reference_values == ("good/3",)
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.missing == (
        f"neither reference values nor policy approve /tmp/evil {DIGEST.hex()}, though the verifier affirmed",
    )


# ── PCRs that can be reset ───────────────────────────────────────────────────────────────────────────────────────────

CEL = "ima = [10]\ncel = { app = { pcrs = [16], resettable = true } }\n"
APP = POLICY.replace('pcrs = "sha256:0-10"', 'pcrs = "sha256:0-10,16,23"').replace("ima = [10]\n", CEL)


def with_a_log_of_pcr_16(recording: Recording) -> None:
    recording.device.selection = parse_selection_text("sha256:0-10,16,23")
    recording.device.measure_file("cel/app", "/etc/app.conf", b"true", index=16)


def reset_pcr_16(recording: Recording) -> None:
    device = recording.device
    device.pcrs[16] = bytes(32)
    device.cel_logs["cel/app"] = []
    device.measure_file("cel/app", "/etc/app.conf", b"true", index=16)
    begin_again(recording)


def test_a_log_of_a_pcr_that_can_be_reset_proves_nothing_in_between(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at_end: ExitStack
) -> None:
    """Bad configuration at the time; then root resets the PCR and measures good configuration, and nobody saw it."""

    def bad(recording: Recording) -> None:
        recording.device.measure_file("cel/app", "/etc/app.conf", b"bad", index=16)

    proven = story(at_end, tmp_path, first=with_a_log_of_pcr_16, before=bad, after=reset_pcr_16, policy_text=APP)
    answer = answer_of(proven)
    assert answer.before is not None
    assert answer.after is not None
    assert answer.after.result.status == "affirming"
    assert answer.same_boot
    assert answer.verdict is Verdict.UNKNOWN
    (why,) = answer.missing
    assert why.startswith(
        "PCR 16 can be reset while the TPM runs: its log and value speak for the moment of each quote"
    )
    capsys.readouterr()
    assert proven.check(proven.log.folder / "proof") == 1
    told = capsys.readouterr().out
    assert "NOT PROVEN" in told
    assert "hold everything measured since it began" not in told


def test_an_honest_device_with_such_a_log_gets_no_yes_either(tmp_path: Path, at_end: ExitStack) -> None:
    answer = answer_of(story(at_end, tmp_path, first=with_a_log_of_pcr_16, policy_text=APP))
    assert (answer.verdict, len(answer.missing)) == (Verdict.UNKNOWN, 1)


def test_a_value_of_such_a_pcr_proves_as_little(tmp_path: Path, at_end: ExitStack) -> None:
    policy = POLICY.replace('pcrs = "sha256:0-10"', 'pcrs = "sha256:0-10,23"')

    def first(recording: Recording) -> None:
        recording.device.selection = parse_selection_text("sha256:0-10,23")
        registers = make_references(recording.device).registers
        bank, values = next(iter(registers.items()))
        list_files(recording, registers={bank: {**values, 23: frozenset({bytes(32)})}})

    answer = answer_of(story(at_end, tmp_path, first=first, policy_text=policy))
    assert answer.verdict is Verdict.UNKNOWN
    assert any(each.startswith("PCR 23 can be reset") for each in answer.missing)


def test_such_a_pcr_that_nothing_judges_is_no_question(tmp_path: Path, at_end: ExitStack) -> None:
    policy = POLICY.replace('pcrs = "sha256:0-10"', 'pcrs = "sha256:0-10,16"')

    def first(recording: Recording) -> None:
        recording.device.selection = parse_selection_text("sha256:0-10,16")

    answer = answer_of(story(at_end, tmp_path, first=first, policy_text=policy))
    assert (answer.verdict, answer.missing) == (Verdict.YES, ())


def test_bad_before_the_time_is_still_a_no(tmp_path: Path, at_end: ExitStack) -> None:
    def bad(recording: Recording) -> None:
        with_a_log_of_pcr_16(recording)
        recording.device.measure_file("cel/app", "/etc/app.conf", b"bad", index=16)

    assert answer_of(story(at_end, tmp_path, first=bad, policy_text=APP)).verdict is Verdict.NO
