"""Each check of appraisal by itself and at its boundaries, and the verdict that findings add up to."""

from dataclasses import replace

import pytest

from schemas.hashes import SHA1, SHA256, SHA384
from schemas.ima.records import ImaBankMode
from schemas.instants import iso_text
from schemas.reasons import Reason
from schemas.tpm.pcr import PcrValues, parse_selection_text
from schemas.verdicts import Freshness, Tier, TrustClaim, Weight
from tests.builders.owners import owners_in
from tests.worlds.device import ALWAYS_CURRENT, T0_US, make_handle, make_policy
from tests.worlds.step_bench import RECEIVED_US, Bench
from verifier_worker.core.checks.appraisal import (
    affirming_vector,
    appraise_measurements,
    appraise_moment,
    missing_registers,
    policy_applies,
    verdict_of,
)
from verifier_worker.core.checks.appraisal_input import AppraisalInput
from verifier_worker.core.finding import Finding
from verifier_worker.core.policy.policy_file import AppraisalPolicy, BootTable, LogsTable, RuleTable
from verifier_worker.core.state import Verdict
from verifier_worker.core.statements import UNSTATED, Current

SECOND_US = 1_000_000
HARDWARE, INSTANCE = TrustClaim.HARDWARE, TrustClaim.INSTANCE_IDENTITY
CONFIGURATION, EXECUTABLES, FILES = TrustClaim.CONFIGURATION, TrustClaim.EXECUTABLES, TrustClaim.FILE_SYSTEM


@pytest.fixture
def given() -> AppraisalInput:
    """A good device: nothing is found. Its quote is a second after its proof, received 5 s after the handle."""
    bench = Bench(policy_changes={"drift_ppm": 0})
    bench.take(bench.device.push())
    assert bench.state is not None
    return AppraisalInput(
        state=bench.state,
        handle=bench.handle,
        policy=bench.policy,
        references=bench.trust.references,
        conflict="",
        missing="",
        current=ALWAYS_CURRENT,
        group="",
        genuine=False,
    )


def policy_of(given: AppraisalInput) -> AppraisalPolicy:
    assert given.policy is not None
    return given.policy


def in_state(given: AppraisalInput, **changes: object) -> AppraisalInput:
    return replace(given, state=replace(given.state, **changes))  # type: ignore[arg-type]  # fields by name


def in_measured(given: AppraisalInput, **changes: object) -> AppraisalInput:
    return in_state(given, measured=replace(given.state.measured, **changes))  # type: ignore[arg-type]  # by name


def in_replay(given: AppraisalInput, **changes: object) -> AppraisalInput:
    return in_state(given, replay=replace(given.state.replay, **changes))  # type: ignore[arg-type]  # by name


def in_policy(given: AppraisalInput, **changes: object) -> AppraisalInput:
    return replace(given, policy=replace(policy_of(given), **changes))  # type: ignore[arg-type]  # fields by name


def in_references(given: AppraisalInput, **changes: object) -> AppraisalInput:
    return replace(given, references=replace(given.references, **changes))  # type: ignore[arg-type]  # by name


def moment(given: AppraisalInput) -> list[tuple[Reason, str]]:
    return [(each.reason, each.detail) for each in appraise_moment(given)]


def measured(given: AppraisalInput) -> list[tuple[Reason, str]]:
    return [(each.reason, each.detail) for each in appraise_measurements(given)]


def test_nothing_is_found_of_a_good_device(given: AppraisalInput) -> None:
    assert moment(given) == []
    assert measured(given) == []


# -- policy and reference values ---------------------------------------------------------------------------------------


def test_a_policy_must_be_there_and_be_the_only_one(given: AppraisalInput) -> None:
    assert (Reason.POLICY_MISSING, "") in moment(replace(given, policy=None))
    conflict = moment(replace(given, policy=None, conflict="a/1, b/1"))
    assert (Reason.POLICY_CONFLICT, "a/1, b/1") in conflict
    assert Reason.POLICY_MISSING not in dict(conflict)


def test_the_policy_that_the_group_should_have_is_named(given: AppraisalInput) -> None:
    found = moment(replace(given, policy=None, missing="fleet/1, which is not valid now"))
    assert (Reason.POLICY_MISSING, "fleet/1, which is not valid now") in found


# -- statements of what is current -------------------------------------------------------------------------------------

RECEIVED_S = RECEIVED_US // SECOND_US


def staleness(given: AppraisalInput, *, age_us: int = 86_400 * SECOND_US, received_us: int = RECEIVED_US) -> list[str]:
    """The details of findings that trust is stale."""
    received = in_state(in_policy(given, trust_max_age_us=age_us), received_us=received_us)
    return [detail for reason, detail in moment(received) if reason is Reason.TRUST_STALE]


def test_trust_is_current_for_as_long_as_the_policy_says(given: AppraisalInput) -> None:
    stated = replace(given, current=Current(RECEIVED_S - 10, RECEIVED_S + 1000))
    assert staleness(stated, age_us=10 * SECOND_US) == []
    assert staleness(stated, age_us=10 * SECOND_US - 1) == [
        f"the last statement of what is current is of {iso_text((RECEIVED_S - 10) * SECOND_US, 'seconds')}"
    ]


def test_trust_is_current_until_its_statement_ends(given: AppraisalInput) -> None:
    stated = replace(given, current=Current(RECEIVED_S - 10, RECEIVED_S))
    assert staleness(stated) == []
    assert len(staleness(stated, received_us=RECEIVED_US + 1)) == 1


def test_trust_without_a_statement_is_not_current(given: AppraisalInput) -> None:
    unstated = replace(given, current=UNSTATED)
    assert staleness(unstated) == ["no statement of what is current was received"]
    assert Reason.TRUST_STALE not in dict(moment(replace(unstated, policy=None)))


def test_every_missing_set_is_named(given: AppraisalInput) -> None:
    found = moment(in_references(given, missing=("a", "b")))
    assert found == [(Reason.REFERENCE_VALUES_MISSING, "a"), (Reason.REFERENCE_VALUES_MISSING, "b")]


@pytest.mark.parametrize("kind", ["registers", "files", "keys"])
def test_reference_values_of_one_kind_are_reference_values(given: AppraisalInput, kind: str) -> None:
    nothing = in_references(given, registers={}, files=frozenset(), keys=())
    assert moment(nothing) == [(Reason.REFERENCE_VALUES_MISSING, "")]
    one = {"registers": {SHA256: {}}, "files": frozenset({b""}), "keys": (object(),)}[kind]
    assert moment(in_references(nothing, **{kind: one})) == []


@pytest.mark.parametrize(
    ("logs", "asked", "kind", "judged"),
    [
        (LogsTable(), {}, "files", False),
        (LogsTable(), {}, "keys", False),
        (LogsTable(tcg2=(0, 7)), {}, "files", False),
        (LogsTable(ima=(10,)), {}, "files", True),
        (LogsTable(ima=(10,)), {}, "keys", True),
        (LogsTable(cel={"app": (14,)}), {}, "files", True),
        (LogsTable(cel={"app": (14,)}), {}, "keys", False),
        (LogsTable(tcg2=(4, 7)), {"boot": BootTable(secure_boot=True)}, "files", True),
        (LogsTable(tcg2=(4, 7)), {"boot": BootTable(no_test_keys=True)}, "files", True),
        (LogsTable(tcg2=(4, 7)), {"boot": BootTable(loaders=("ab" * 32,))}, "keys", True),
        (LogsTable(), {"rules": (RuleTable(name="a", when="clock_safe", then="warning"),)}, "files", True),
        (LogsTable(), {}, "registers", True),
    ],
)
def test_values_that_the_policy_asks_no_log_about_judge_nothing(
    given: AppraisalInput, logs: LogsTable, asked: dict[str, object], kind: str, *, judged: bool
) -> None:
    policy = make_policy(pcrs="sha256:0-10,14", logs=logs, **asked)
    nothing = in_references(replace(given, policy=policy), registers={}, files=frozenset(), keys=())
    one = {"registers": {SHA256: {}}, "files": frozenset({b""}), "keys": (object(),)}[kind]
    found = [finding.reason for finding in policy_applies(in_references(nothing, **{kind: one}))]
    assert found == ([] if judged else [Reason.REFERENCE_VALUES_MISSING])


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_handle_is_known_and_not_longer_expired_than_the_grace(given: AppraisalInput) -> None:
    assert (Reason.HANDLE_UNKNOWN, "") in moment(replace(given, handle=None))
    handle = make_handle()
    latest_us = handle.expires_us + policy_of(given).grace_us
    lenient = in_policy(given, max_age_us=10**12, max_handle_age_us=10**12)
    assert moment(in_state(lenient, received_us=latest_us)) == []
    assert moment(in_state(lenient, received_us=latest_us + 1)) == [(Reason.HANDLE_EXPIRED, "")]
    unjudged = replace(in_state(given, received_us=latest_us + 1), policy=None)
    assert moment(unjudged) == [(Reason.POLICY_MISSING, "")]


@pytest.mark.parametrize("counts", [{"reset_count": 2}, {"restart_count": 2}])
def test_proof_and_quote_are_of_one_epoch(given: AppraisalInput, counts: dict[str, int]) -> None:
    assert moment(in_state(given, **counts, clock_ms=0)) == [(Reason.CLOCK_EPOCH_MISMATCH, "")]


def test_a_quote_is_not_before_its_proof(given: AppraisalInput) -> None:
    proof_ms = given.state.sync.clock_ms
    assert moment(in_state(given, clock_ms=proof_ms)) == []
    assert moment(in_state(given, clock_ms=proof_ms - 1)) == [(Reason.CLOCK_RAN_BACK, "")]


def test_a_clock_may_be_two_seconds_ahead_of_the_verifier(given: AppraisalInput) -> None:
    proof_ms = given.state.sync.clock_ms
    latest_ms = proof_ms + 5_000 + 2_000 + 1  # receipt, tolerance, what a reading can have lost
    assert moment(in_state(given, clock_ms=latest_ms)) == []
    assert moment(in_state(given, clock_ms=latest_ms + 1)) == [(Reason.CLOCK_AHEAD_OF_VERIFIER, "")]
    for unknown in (replace(given, handle=None), replace(given, policy=None)):
        assert Reason.CLOCK_AHEAD_OF_VERIFIER not in dict(moment(in_state(unknown, clock_ms=10**9)))


def test_evidence_is_at_most_as_old_as_the_policy_allows(given: AppraisalInput) -> None:
    allowed = in_policy(given, max_age_us=3 * SECOND_US)
    old = in_state(allowed, made_after_us=RECEIVED_US - 3 * SECOND_US)
    assert moment(old) == []
    assert moment(in_state(old, made_after_us=RECEIVED_US - 3 * SECOND_US - 1)) == [(Reason.EVIDENCE_TOO_OLD, "")]
    assert moment(in_state(old, made_after_us=None)) == []


def test_so_is_its_handle_at_the_earliest_that_it_can_have_been_made(given: AppraisalInput) -> None:
    handle = make_handle(accuracy_us=7)
    aged = replace(in_policy(given, max_handle_age_us=5 * SECOND_US + 7), handle=handle)
    assert moment(aged) == []
    assert moment(in_policy(aged, max_handle_age_us=5 * SECOND_US + 6)) == [(Reason.EVIDENCE_TOO_OLD, "")]


def test_age_is_not_judged_without_a_policy_or_a_handle(given: AppraisalInput) -> None:
    old = in_state(given, made_after_us=T0_US - 10**12)
    assert Reason.EVIDENCE_TOO_OLD in dict(moment(old))
    assert Reason.EVIDENCE_TOO_OLD not in dict(moment(replace(old, policy=None)))
    assert Reason.EVIDENCE_TOO_OLD not in dict(moment(replace(old, handle=None)))


def test_a_suspected_clock_is_named_with_the_rate_it_was_found_by(given: AppraisalInput) -> None:
    clock = replace(given.state.clock, suspect=Reason.CLOCK_TOO_FAST, rate_ppm=(150, 250))
    assert moment(in_state(given, clock=clock)) == [(Reason.CLOCK_TOO_FAST, "+150 to +250 ppm")]
    unmeasured = replace(clock, suspect=Reason.CLOCK_SET, rate_ppm=None)
    assert moment(in_state(given, clock=unmeasured)) == [(Reason.CLOCK_SET, "")]


def test_a_clock_that_was_not_stored_is_reported(given: AppraisalInput) -> None:
    assert moment(in_state(given, clock_safe=False)) == [(Reason.CLOCK_UNSAFE, "")]


# -- what is quoted and complete ---------------------------------------------------------------------------------------


def test_every_required_pcr_that_is_not_quoted_is_named(given: AppraisalInput) -> None:
    fewer = in_state(given, selection=parse_selection_text("sha256:0-8"))
    assert moment(fewer) == [(Reason.PCR_NOT_QUOTED, "PCR sha256:9"), (Reason.PCR_NOT_QUOTED, "PCR sha256:10")]
    assert Reason.PCR_NOT_QUOTED not in dict(moment(replace(fewer, policy=None)))
    assert missing_registers(policy_of(given), fewer.state.selection) == ((SHA256, 9), (SHA256, 10))
    assert missing_registers(policy_of(given), given.state.selection) == ()


def test_while_logs_are_incomplete_nothing_measured_is_judged(given: AppraisalInput) -> None:
    bad = in_measured(given, violations=1)
    assert measured(bad) == [(Reason.FILE_MEASUREMENT_VIOLATED, "")]
    unsettled = in_state(bad, settled=False)
    assert measured(unsettled) == []
    assert moment(unsettled) == [(Reason.LOG_INCOMPLETE, "")]


# -- logs explain their PCRs -------------------------------------------------------------------------------------------


def test_a_log_that_the_policy_names_has_entries(given: AppraisalInput) -> None:
    for positions in ({"tcg2": 9}, {"tcg2": 9, "ima": 0}):
        assert measured(in_replay(given, next_index=positions)) == [(Reason.LOG_MISSING, "ima: no entry; PCR 10")]
    assert Reason.LOG_MISSING not in dict(measured(replace(in_replay(given, next_index={}), policy=None)))


def test_a_pcr_is_extended_by_no_log_that_it_is_not_given_to(given: AppraisalInput) -> None:
    owners = {**given.state.measured.owners, **owners_in({10: ("ima", "tcg2"), 4: ("tcg2",)})}
    found = measured(in_measured(given, owners=owners))
    assert found == [(Reason.LOG_MISSING, "ima: PCR sha256:10")]
    shared = in_policy(given, logs={"tcg2": frozenset(range(11)), "ima": frozenset({10})})
    assert measured(in_measured(shared, owners=owners)) == []


def test_pcrs_are_named_in_order(given: AppraisalInput) -> None:
    others = owners_in(dict.fromkeys((9, 2, 4), ("cel/app",)))
    found = measured(in_measured(given, owners={**given.state.measured.owners, **others}))
    assert found == [(Reason.LOG_MISSING, f"tcg2: PCR sha256:{index}") for index in (2, 4, 9)]


def without_owner(given: AppraisalInput, index: int) -> AppraisalInput:
    """No log extended the PCR, and no reference value speaks of it."""
    registers = {SHA256: {k: v for k, v in given.state.replay.registers[SHA256].items() if k != index}}
    owners = {register: logs for register, logs in given.state.measured.owners.items() if register[1] != index}
    return in_measured(in_references(in_replay(given, registers=registers), registers={}), owners=owners)


@pytest.mark.parametrize(
    ("index", "sent", "explained"),
    [(9, b"\1", False), (9, b"\0", True), (9, b"", True), (7, b"\1", False), (7, b"\0", False), (7, b"", False)],
)
def test_a_pcr_whose_value_was_only_sent_is_explained_by_nothing(
    given: AppraisalInput, index: int, sent: bytes, explained: bool
) -> None:
    """PCR 9 may stay as it starts; the firmware extends PCR 7 always."""
    bare = in_state(without_owner(given, index), unlogged=PcrValues({SHA256: {index: sent * 32}} if sent else {}))
    assert measured(bare) == ([] if explained else [(Reason.LOG_MISSING, f"tcg2: PCR sha256:{index}")])


def test_a_value_beside_the_log_that_explains_it_is_of_no_matter(given: AppraisalInput) -> None:
    assert measured(in_state(given, unlogged=PcrValues({SHA256: {7: b"\1" * 32}}))) == []


def test_a_log_shows_itself_in_each_bank_of_the_policy(given: AppraisalInput) -> None:
    both = in_policy(given, pcrs=parse_selection_text("sha256:0-10+sha384:0-10"))
    assert measured(both) == [
        (Reason.LOG_MISSING, "tcg2: no entry that bank sha384 binds"),
        (Reason.LOG_MISSING, "ima: no entry that bank sha384 binds"),
    ]
    assert measured(in_replay(given, banks=(SHA256, SHA384))) == []


def test_a_bank_whose_first_pcr_is_as_it_starts_vouches_for_nothing(given: AppraisalInput) -> None:
    unexplained = in_policy(given, logs={})
    untouched = in_replay(unexplained, registers={})
    only = in_references(untouched, registers={SHA256: {}})
    assert measured(only) == [(Reason.BANK_NOT_EXTENDED, "sha256")]
    assert measured(in_references(untouched, registers={})) == []
    assert measured(in_references(unexplained, registers={SHA256: {}})) == []
    assert measured(in_state(only, selection=parse_selection_text("sha256:1-10"))) == []
    located = in_replay(only, startup_locality=3)
    assert measured(located) == [(Reason.BANK_NOT_EXTENDED, "sha256")]


# -- reference values of PCRs and files --------------------------------------------------------------------------------


def accepting(given: AppraisalInput, index: int, *values: bytes) -> AppraisalInput:
    return in_references(given, registers={SHA256: {index: frozenset(values)}})


def test_a_pcr_has_one_of_its_acceptable_values(given: AppraisalInput) -> None:
    true = given.state.replay.registers[SHA256][4]
    assert measured(accepting(given, 4, bytes(32), true)) == []
    (found,) = appraise_measurements(accepting(given, 4, bytes(32)))
    assert found == Finding(reason=Reason.PCR_UNEXPECTED, detail="PCR sha256:4", digest=true)


def test_the_value_of_a_pcr_is_replayed_else_sent_else_the_one_it_starts_with(given: AppraisalInput) -> None:
    sent = in_state(given, unlogged=PcrValues({SHA256: {4: b"\1" * 32, 9: b"\1" * 32}}))
    unexplained = in_policy(sent, logs={})
    assert measured(accepting(unexplained, 4, given.state.replay.registers[SHA256][4])) == []
    assert measured(accepting(unexplained, 9, b"\1" * 32)) == []
    assert measured(accepting(unexplained, 9, bytes(32))) == [(Reason.PCR_UNEXPECTED, "PCR sha256:9")]
    assert measured(accepting(unexplained, 8, bytes(32))) == []
    located = in_replay(in_policy(given, logs={}), registers={}, startup_locality=3)
    bank = (Reason.BANK_NOT_EXTENDED, "sha256")
    assert measured(accepting(located, 0, bytes(31) + b"\3")) == [bank]
    assert measured(accepting(located, 1, bytes(32))) == [bank]


def test_a_pcr_with_reference_values_must_be_quoted_in_their_bank(given: AppraisalInput) -> None:
    assert measured(accepting(given, 11, bytes(32))) == [(Reason.PCR_NOT_QUOTED, "PCR sha256:11")]
    values = {11: frozenset({bytes(48)}), 4: frozenset({bytes(48)})}
    other_bank = in_references(given, registers={SHA384: values})
    assert measured(other_bank) == [
        (Reason.PCR_NOT_QUOTED, "PCR sha384:11"),
        (Reason.PCR_NOT_QUOTED, "PCR sha384:4"),
    ]


def test_every_unexpected_file_is_named_with_its_digest(given: AppraisalInput) -> None:
    files = ((b"\1" * 32, "/a"), (b"\2" * 32, "/b"))
    assert appraise_measurements(in_measured(given, unexpected=files)) == tuple(
        Finding(reason=Reason.FILE_UNEXPECTED, detail=path, digest=digest) for digest, path in files
    )


def test_an_aggregate_of_another_boot_and_a_written_file_are_found(given: AppraisalInput) -> None:
    assert measured(in_measured(given, aggregate_differs=True)) == [(Reason.BOOT_AGGREGATE_MISMATCH, "boot_aggregate")]
    assert measured(in_measured(given, violations=1)) == [(Reason.FILE_MEASUREMENT_VIOLATED, "")]


def test_every_padded_bank_is_reported(given: AppraisalInput) -> None:
    modes = {SHA256: ImaBankMode.HASHED, SHA384: ImaBankMode.PADDED_SHA1, SHA1: ImaBankMode.PADDED_SHA1}
    found = measured(in_replay(given, ima_bank_modes=modes))
    assert found == [(Reason.IMA_BANK_PADDED_SHA1, "sha384"), (Reason.IMA_BANK_PADDED_SHA1, "sha1")]


# -- what can be affirmed ----------------------------------------------------------------------------------------------


def test_no_more_is_affirmed_than_the_reference_values_speak_of(given: AppraisalInput) -> None:
    nothing = in_references(given, registers={}, files=frozenset(), keys=())
    assert affirming_vector(nothing) == {INSTANCE: 2}
    assert affirming_vector(replace(nothing, genuine=True)) == {INSTANCE: 2, HARDWARE: 2}
    registers = in_references(nothing, registers={SHA256: {0: frozenset()}})
    assert affirming_vector(registers) == {INSTANCE: 2, CONFIGURATION: 2, EXECUTABLES: 3}
    assert affirming_vector(in_references(nothing, files=frozenset({b""}))) == {INSTANCE: 2}, "the list holds no file"
    nothing, given = in_measured(nothing, any_file=True), in_measured(given, any_file=True)
    files = in_references(nothing, files=frozenset({b""}))
    assert affirming_vector(files) == {INSTANCE: 2, EXECUTABLES: 2, FILES: 2}
    keys = in_references(nothing, keys=(object(),))
    assert affirming_vector(keys) == {INSTANCE: 2, EXECUTABLES: 2, FILES: 2}
    assert affirming_vector(given) == {INSTANCE: 2, CONFIGURATION: 2, EXECUTABLES: 2, FILES: 2}


def test_files_are_affirmed_only_where_the_policy_asks_for_their_list(given: AppraisalInput) -> None:
    files = in_references(given, registers={})
    assert affirming_vector(in_policy(files, logs={"tcg2": frozenset({4})})) == {INSTANCE: 2}
    assert affirming_vector(replace(files, policy=None)) == {INSTANCE: 2}


# -- the verdict -------------------------------------------------------------------------------------------------------

AFFIRMING = {INSTANCE: 2, CONFIGURATION: 2, EXECUTABLES: 3}


def verdict(*findings: Finding | Reason, weights: dict[Reason, Weight] | None = None) -> Verdict:
    found = [each if isinstance(each, Finding) else Finding(reason=each) for each in findings]
    policy = replace(make_policy(), weights=weights or {})
    return verdict_of(found, AFFIRMING, policy, {"secure-boot": "enabled"})


def test_where_nothing_was_found_everything_is_affirmed() -> None:
    expected = Verdict(
        status=Tier.AFFIRMING,
        freshness=Freshness.FRESH,
        reasons=(),
        vector=AFFIRMING,
        verified_claims={"secure-boot": "enabled"},
    )
    assert verdict() == expected
    assert verdict_of([], AFFIRMING, None, {"secure-boot": "enabled"}) == expected


def test_a_finding_makes_claims_worse_and_never_better() -> None:
    warned = verdict(Reason.FILE_MEASUREMENT_VIOLATED)
    assert warned.status is Tier.WARNING
    assert warned.vector == {INSTANCE: 2, CONFIGURATION: 2, EXECUTABLES: 33, FILES: 32}
    found = (Reason.FILE_UNEXPECTED, Reason.FILE_MEASUREMENT_VIOLATED)
    for order in (found, found[::-1]):
        worst = verdict(*order)
        assert worst.status is Tier.CONTRAINDICATED
        assert worst.vector == {INSTANCE: 2, CONFIGURATION: 2, EXECUTABLES: 96, FILES: 96}


def test_where_something_is_undecided_nothing_is_affirmed_and_bad_stays_bad() -> None:
    undecided = verdict(Reason.LOG_GAP)
    assert (undecided.status, undecided.vector) == (Tier.NONE, {})
    warned = verdict(Reason.LOG_GAP, Reason.FILE_MEASUREMENT_VIOLATED)
    assert (warned.status, warned.vector) == (Tier.NONE, {EXECUTABLES: 33, FILES: 32})
    bad = verdict(Reason.LOG_GAP, Reason.FILE_UNEXPECTED)
    assert (bad.status, bad.vector) == (Tier.CONTRAINDICATED, {EXECUTABLES: 96, FILES: 96})


def test_a_reason_without_effect_is_only_reported() -> None:
    reported = verdict(Reason.REBOOTED)
    assert (reported.status, reported.vector, reported.reasons) == (Tier.AFFIRMING, AFFIRMING, (Reason.REBOOTED,))


def test_freshness_is_of_the_first_finding_that_says_any() -> None:
    assert verdict(Reason.LOG_GAP).freshness is Freshness.FRESH
    assert verdict(Reason.LOG_GAP, Reason.HANDLE_UNKNOWN, Reason.CLOCK_SET).freshness is Freshness.PENDING
    assert verdict(Reason.CLOCK_SET, Reason.HANDLE_UNKNOWN).freshness is Freshness.CONTRADICTED


def test_reasons_that_decide_come_first_each_once_else_as_they_were_found() -> None:
    found = (
        Reason.REBOOTED,
        Reason.FILE_MEASUREMENT_VIOLATED,
        Reason.LOG_GAP,
        Reason.FILE_UNEXPECTED,
        Reason.RESUMED,
        Reason.PCR_UNEXPECTED,
        Reason.FILE_UNEXPECTED,
        Reason.SEQUENCE_GAP,
        Reason.TRANSITION_UNREPORTED,
    )
    assert verdict(*found).reasons == (
        *(Reason.FILE_UNEXPECTED, Reason.PCR_UNEXPECTED),
        *(Reason.LOG_GAP, Reason.SEQUENCE_GAP),
        *(Reason.FILE_MEASUREMENT_VIOLATED, Reason.TRANSITION_UNREPORTED),
        *(Reason.REBOOTED, Reason.RESUMED),
    )


@pytest.mark.parametrize(
    ("reason", "weight", "vector"),
    [
        (Reason.FILE_UNEXPECTED, Weight.WARNING, {EXECUTABLES: 33, FILES: 32}),
        (Reason.SECURE_BOOT_OFF, Weight.WARNING, {CONFIGURATION: 32}),
        (Reason.FILE_MEASUREMENT_VIOLATED, Weight.CONTRAINDICATED, {EXECUTABLES: 96, FILES: 96}),
        (Reason.REBOOTED, Weight.CONTRAINDICATED, {CONFIGURATION: 96}),
        (Reason.REBOOTED, Weight.WARNING, {CONFIGURATION: 32}),
        (Reason.REBOOTED, Weight.REPORTED, {}),
        (Reason.TRANSITION_UNREPORTED, Weight.REPORTED, {}),
    ],
)
def test_a_policy_gives_a_reason_another_weight(reason: Reason, weight: Weight, vector: dict[TrustClaim, int]) -> None:
    assert verdict(reason, weights={reason: weight}).vector == {**AFFIRMING, **vector}


def test_a_policy_can_make_a_reason_undecided() -> None:
    undecided = verdict(Reason.REBOOTED, weights={Reason.REBOOTED: Weight.NONE})
    assert (undecided.status, undecided.vector) == (Tier.NONE, {})
    assert undecided.freshness is Freshness.FRESH


def test_a_rule_brings_its_own_weight() -> None:
    rule = Finding(reason=Reason.POLICY_RULE, detail="r", weight=Weight.WARNING)
    assert verdict(rule, weights={Reason.POLICY_RULE: Weight.CONTRAINDICATED}).status is Tier.WARNING
    assert verdict(replace(rule, weight=Weight.REPORTED)).status is Tier.AFFIRMING


def test_a_policy_weighs_only_the_reasons_it_names() -> None:
    assert verdict(Reason.FILE_UNEXPECTED, weights={Reason.REBOOTED: Weight.WARNING}).status is Tier.CONTRAINDICATED
