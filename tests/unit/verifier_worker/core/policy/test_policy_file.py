"""A policy table checked and compiled: every field, its defaults, every limit on both sides."""

import hashlib

import pytest

from schemas.errors import ConfigError
from schemas.hashes import SHA256
from schemas.limits import MAX_TEXT_BYTES
from schemas.messages.policy import ALL_GROUPS
from schemas.reasons import Reason
from schemas.tpm.pcr import encode_selection, parse_selection_text
from schemas.verdicts import Weight
from verifier_worker.core.policy.cel_rules import MAX_RULES
from verifier_worker.core.policy.ima_demands import MAX_PATTERNS, ImaTable
from verifier_worker.core.policy.policy_file import (
    AppraisalPolicy,
    BootTable,
    LogsTable,
    LogTable,
    PolicyTable,
    RuleTable,
    check_policy,
    read_policy,
)

LOADER = "ab" * 32
ALL_BOOT_PCRS = LogsTable(tcg2=tuple(range(10)), ima=(10,))


def policy(**changes: object) -> AppraisalPolicy:
    least: dict[str, object] = {"id": "lab", "pcrs": "sha256:0-10", "reference_values": ("good",), "deadline_s": 5.0}
    return check_policy(PolicyTable(**{**least, **changes}))  # type: ignore[arg-type]  # fields by name


def problem(**changes: object) -> str:
    with pytest.raises(ConfigError) as refused:
        policy(**changes)
    return refused.value.detail


def test_what_a_policy_does_not_say_has_its_default() -> None:
    made = policy()
    assert (made.label, made.groups, made.reference_values) == ("lab/0", (ALL_GROUPS,), ("good",))
    assert ALL_GROUPS == "*"
    assert made.pcrs == parse_selection_text("sha256:0-10")
    assert made.logs == {}
    assert (made.deadline_us, made.result_lifetime_us) == (5_000_000, 300_000_000)
    assert (made.max_age_us, made.max_handle_age_us, made.grace_us) == (120_000_000, 300_000_000, 30_000_000)
    assert (made.drift_ppm, made.remeasure_us) == (150_000, 300_000_000)
    assert (made.ima.excluded, made.secure_boot, made.no_test_keys) == (None, False, False)
    assert (made.loaders, made.weights, made.rules) == (frozenset(), {}, ())


def test_what_a_policy_says_is_taken() -> None:
    made = policy(
        version=3,
        groups=("edge", "lab"),
        reference_values=("a", "b"),
        deadline_s=0.5,
        result_lifetime_s=1.25,
        max_age_s=2.5,
        max_handle_age_s=3.5,
        grace_s=4.5,
        drift_ppm=6,
        remeasure_s=7.5,
        pcrs="sha256:0-11,14",
        logs=LogsTable(tcg2=(0, 4, 7, 11), ima=(10,), cel={"app": (14,), "systemd": (11,)}),
        boot=BootTable(secure_boot=True, no_test_keys=True, loaders=(LOADER, "AB" * 32, "cd" * 32)),
        ima=ImaTable(exclude=("/var/*",)),
        weights={"file-unexpected": "warning"},
        rules=(RuleTable(name="r", when="true", then="told"),),
    )
    assert (made.label, made.groups, made.reference_values) == ("lab/3", ("edge", "lab"), ("a", "b"))
    assert (made.deadline_us, made.result_lifetime_us) == (500_000, 1_250_000)
    assert (made.max_age_us, made.max_handle_age_us, made.grace_us) == (2_500_000, 3_500_000, 4_500_000)
    assert (made.drift_ppm, made.remeasure_us) == (6, 7_500_000)
    assert made.logs == {
        "tcg2": frozenset({0, 4, 7, 11}),
        "ima": frozenset({10}),
        "cel/app": frozenset({14}),
        "cel/systemd": frozenset({11}),
    }
    assert made.secure_boot
    assert made.no_test_keys
    assert made.loaders == {bytes.fromhex(LOADER), bytes.fromhex("cd" * 32)}
    assert made.weights == {Reason.FILE_UNEXPECTED: Weight.WARNING}
    assert [(each.rule.name, each.rule.text, each.weight) for each in made.rules] == [("r", "true", Weight.REPORTED)]


def test_every_problem_names_its_policy() -> None:
    assert problem(deadline_s=0.0).startswith("policy 'lab': deadline_s: ")


# -- what decides how entries are judged -------------------------------------------------------------------------------


def test_what_entries_are_judged_with_has_a_name_of_its_own() -> None:
    """Stored states hold it: if it were computed in another way, a fleet would be measured again after an update."""
    made = policy(logs=LogsTable(tcg2=(4, 0), ima=(10,)), ima=ImaTable(exclude=("/b/*", "/a/*")))
    text = "(['/a/*', '/b/*'], [('ima', [10]), ('tcg2', [0, 4])], ['/usr/bin/attester-agent'], [])"
    expected = hashlib.sha256(encode_selection(made.pcrs) + text.encode()).hexdigest()[:16]
    assert made.measures == expected
    assert policy().measures == policy(version=9, deadline_s=7.0, boot=BootTable()).measures


@pytest.mark.parametrize(
    "changes",
    [
        {"pcrs": "sha256:0-9"},
        {"logs": LogsTable(ima=(10,))},
        {"logs": LogsTable(tcg2=(10,))},
        {"ima": ImaTable(exclude=("/a/*",))},
        {"logs": LogsTable(ima=(10,)), "ima": ImaTable(agent=())},
        {"logs": LogsTable(ima=(10,)), "ima": ImaTable(required=("/etc/ima/ima-policy",))},
    ],
)
def test_it_changes_with_the_pcrs_the_logs_and_the_paths(changes: dict[str, object]) -> None:
    assert policy(**changes).measures != policy().measures


def test_where_no_ima_list_is_judged_its_demands_change_nothing() -> None:
    assert policy(ima=ImaTable(agent=(), required=("/a",))).measures == policy().measures


# -- PCRs and logs -----------------------------------------------------------------------------------------------------


def test_pcrs_and_names_of_logs_must_be_right() -> None:
    assert "policy 'lab': " in problem(pcrs="sha256:99")
    assert "cel" in problem(logs=LogsTable(cel={"No Name": (4,)}))


def test_a_log_explains_only_pcrs_that_the_policy_requires() -> None:
    assert policy(logs=LogsTable(ima=(10,))).logs == {"ima": frozenset({10})}
    assert "logs.ima: PCRs [11, 12] are not in pcrs 'sha256:0-10'" in problem(logs=LogsTable(ima=(12, 10, 11)))
    assert policy(pcrs="sha1:0-10+sha256:11", logs=LogsTable(ima=(10, 11))).logs == {"ima": frozenset({10, 11})}


@pytest.mark.parametrize(
    ("logs", "claimed"),
    [
        (LogsTable(tcg2=(10,), ima=(10,)), "PCR 10 is claimed by logs.tcg2 and logs.ima"),
        (LogsTable(ima=(10,), cel={"app": (10,)}), "PCR 10 is claimed by logs.ima and logs.cel/app"),
        (LogsTable(cel={"app": (4,), "other": (4,)}), "PCR 4 is claimed by logs.cel/app and logs.cel/other"),
        (LogsTable(tcg2=(4,), cel={"app": (4,), "b": (4,)}), "PCR 4 is claimed by logs.cel/app and logs.cel/b"),
        (LogsTable(tcg2=(4,), cel={"app": (4,)}), ""),
        (LogsTable(tcg2=(4,), ima=(10,), cel={"app": (5,)}), ""),
    ],
)
def test_no_pcr_has_two_logs_that_grow(logs: LogsTable, claimed: str) -> None:
    if claimed:
        assert claimed in problem(logs=logs)
    else:
        assert policy(logs=logs).logs


# -- PCRs that can be reset --------------------------------------------------------------------------------------------

ALL_PCRS = "sha256:0-23"


@pytest.mark.parametrize("index", [16, *range(17, 23), 23])
@pytest.mark.parametrize("log", ["tcg2", "ima", "cel/app"])
def test_a_log_of_a_pcr_that_can_be_reset_must_state_that_this_is_meant(index: int, log: str) -> None:
    def logs(given: LogTable | tuple[int, ...]) -> LogsTable:
        kind, _, name = log.partition("/")
        return LogsTable(**{kind: {name: given} if name else given})  # type: ignore[arg-type]  # fields by name

    for unmarked in ((14, index), LogTable(pcrs=(14, index))):
        told = problem(pcrs=ALL_PCRS, logs=logs(unmarked))
        assert told.startswith(f"policy 'lab': logs.{log}: PCR {index} can be reset while the TPM runs")
        assert "resettable = true" in told
        read = read_policy(
            PolicyTable(id="a", pcrs=ALL_PCRS, reference_values=("good",), deadline_s=5.0, logs=logs(unmarked))
        )
        assert read.unmarked == (f"{log}: PCR {index}",)
    made = policy(pcrs=ALL_PCRS, logs=logs(LogTable(pcrs=(14, index), resettable=True)))
    assert (made.logs, made.unmarked) == ({log: frozenset({14, index})}, ())


def test_other_logs_need_not_state_it_and_may() -> None:
    assert policy(logs=ALL_BOOT_PCRS).unmarked == ()
    table = LogsTable(ima=LogTable(pcrs=(10,), resettable=True), tcg2=LogTable(pcrs=()))
    assert policy(logs=table).logs == {"ima": frozenset({10})}


def test_the_statement_of_one_log_is_not_that_of_another() -> None:
    table = LogsTable(cel={"a": LogTable(pcrs=(16,), resettable=True), "b": (23,)})
    assert "logs.cel/b: PCR 23" in problem(pcrs=ALL_PCRS, logs=table)


def test_the_statement_does_not_change_how_entries_are_judged() -> None:
    """So no device is asked for its logs when it is added."""
    marked = policy(pcrs=ALL_PCRS, logs=LogsTable(cel={"app": LogTable(pcrs=(16,), resettable=True)}))
    table = PolicyTable(
        id="lab", pcrs=ALL_PCRS, reference_values=("good",), deadline_s=5.0, logs=LogsTable(cel={"app": (16,)})
    )
    assert read_policy(table).measures == marked.measures


# -- times and other numbers -------------------------------------------------------------------------------------------

TEN_YEARS_S = 10.0 * 365 * 86_400


@pytest.mark.parametrize(
    "name", ["deadline_s", "result_lifetime_s", "max_age_s", "max_handle_age_s", "grace_s", "remeasure_s"]
)
def test_times_are_at_most_ten_years(name: str) -> None:
    field = name.removesuffix("_s") + "_us"
    assert getattr(policy(**{name: TEN_YEARS_S}), field) == int(TEN_YEARS_S) * 1_000_000
    for wrong in (TEN_YEARS_S + 1, -0.5, float("nan"), float("inf")):
        assert name in problem(**{name: wrong})


@pytest.mark.parametrize("name", ["deadline_s", "result_lifetime_s"])
def test_a_deadline_and_a_lifetime_are_not_nothing(name: str) -> None:
    assert getattr(policy(**{name: 0.001}), name.removesuffix("_s") + "_us") == 1000
    assert f"{name}: 0.0, expected more than 0" in problem(**{name: 0.0})


@pytest.mark.parametrize("name", ["max_age_s", "max_handle_age_s", "grace_s", "remeasure_s"])
def test_other_times_may_be_nothing(name: str) -> None:
    assert getattr(policy(**{name: 0.0}), name.removesuffix("_s") + "_us") == 0


def test_a_drift_is_less_than_the_time_itself() -> None:
    assert [policy(drift_ppm=each).drift_ppm for each in (0, 999_999)] == [0, 999_999]
    for wrong in (-1, 1_000_000):
        assert "drift_ppm" in problem(drift_ppm=wrong)


def test_groups_have_names_of_a_bounded_length() -> None:
    assert policy(groups=("x" * MAX_TEXT_BYTES, "y")).groups == ("x" * MAX_TEXT_BYTES, "y")
    for wrong in ((), ("a", ""), ("x" * (MAX_TEXT_BYTES + 1),)):
        assert "groups: " in problem(groups=wrong)


def test_the_age_of_a_statement_is_bounded() -> None:
    month_s = 31 * 86_400
    assert policy().trust_max_age_us == 86_400_000_000
    assert policy(trust_max_age_s=float(month_s)).trust_max_age_us == month_s * 1_000_000
    assert policy(trust_max_age_s=0.5).trust_max_age_us == 500_000
    for wrong in (0, -0.5, month_s + 1, float("nan"), float("inf")):
        told = problem(trust_max_age_s=wrong)
        assert f"trust_max_age_s: {wrong}, expected more than 0, at most {month_s}" in told


# -- excluded paths ----------------------------------------------------------------------------------------------------


def test_a_pattern_is_of_a_whole_path_and_there_may_be_several() -> None:
    excluded = policy(ima=ImaTable(exclude=("/var/cache/*", "/tmp/a?"))).ima.excluded
    assert excluded is not None
    assert all(map(excluded.fullmatch, ("/var/cache/x", "/var/cache/x/y", "/tmp/ab")))
    assert not any(map(excluded.fullmatch, ("/var/cache", "/x/var/cache/x", "/tmp/abc", "/tmp/a")))


@pytest.mark.parametrize("pattern", ["*", "/", "/*", "//**", "/?", "var/*", ""])
def test_a_pattern_is_below_the_root(pattern: str) -> None:
    assert "ima.exclude" in problem(ima=ImaTable(exclude=("/var/*", pattern)))


def test_a_pattern_may_name_any_character_below_the_root() -> None:
    excluded = policy(ima=ImaTable(exclude=("/X*",))).ima.excluded
    assert excluded is not None
    assert excluded.fullmatch("/X11")


def test_patterns_are_at_most_sixty_four() -> None:
    assert policy(ima=ImaTable(exclude=("/a*",) * MAX_PATTERNS)).ima.excluded is not None
    assert "65 patterns, the limit is 64" in problem(ima=ImaTable(exclude=("/a*",) * (MAX_PATTERNS + 1)))


# -- boot --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boot", "missing"),
    [
        (BootTable(secure_boot=True), "[7]"),
        (BootTable(no_test_keys=True), "[7]"),
        (BootTable(loaders=(LOADER,)), "[4]"),
        (BootTable(secure_boot=True, loaders=(LOADER,)), "[4, 7]"),
    ],
)
def test_what_is_asked_of_a_boot_needs_its_pcrs_in_the_boot_log(boot: BootTable, missing: str) -> None:
    assert missing in problem(boot=boot)
    assert missing in problem(boot=boot, logs=LogsTable(tcg2=(0,), ima=(4, 7)))
    assert policy(boot=boot, logs=ALL_BOOT_PCRS).secure_boot is boot.secure_boot
    exact = tuple(int(each) for each in missing.strip("[]").split(", "))
    assert policy(boot=boot, logs=LogsTable(tcg2=exact)).no_test_keys is boot.no_test_keys


@pytest.mark.parametrize("loader", ["ab" * 31, "ab" * 33, "zz" * 32, "XX" * 32, "", " " * 64, "ab" * 31 + "a\u0661"])
def test_a_loader_is_a_sha256_in_hexadecimal(loader: str) -> None:
    assert "boot.loaders" in problem(boot=BootTable(loaders=(LOADER, loader)), logs=ALL_BOOT_PCRS)


# -- weights and rules -------------------------------------------------------------------------------------------------


def test_a_reason_weighs_at_least_what_keeps_the_vector_true() -> None:
    everything = ["told", "warning", "none", "contraindicated"]
    for code, least in (("rebooted", 0), ("file-unexpected", 1)):
        for number, weight in enumerate(everything):
            if number >= least:
                assert policy(weights={code: weight}).weights == {Reason(code): Weight(weight)}
            else:
                assert f"weights.{code}: '{weight}', expected " in problem(weights={code: weight})
    assert "weights.rebooted: 'heavy', expected told, warning" in problem(weights={"rebooted": "heavy"})


def test_only_reasons_of_the_list_can_be_weighed() -> None:
    for code in ("evidence-too-old", "no-such-reason"):
        found = problem(weights={"rebooted": "told", code: "warning"})
        assert f"weights.{code}: not a reason" in found
        assert "file-unexpected, firmware-changed" in found
        assert "evidence-too-old" not in found.partition("chosen: ")[2]


def test_a_rule_that_says_no_weight_contraindicates() -> None:
    assert RuleTable(name="r", when="true").then == "contraindicated"
    assert policy(rules=(RuleTable(name="r", when="true"),)).rules[0].weight is Weight.CONTRAINDICATED


def test_rules_are_numbered_from_nothing_where_they_are_wrong() -> None:
    good = RuleTable(name="good", when="true")
    assert "rules[1].then: 'bad', expected told" in problem(rules=(good, RuleTable(name="b", when="true", then="bad")))
    assert "rules[1] 'b': when: line 1" in problem(rules=(good, RuleTable(name="b", when="nothing")))
    assert "rules: two have the same name" in problem(rules=(good, good))


def test_rules_are_at_most_thirty_two() -> None:
    rules = tuple(RuleTable(name=f"r{number}", when="true") for number in range(MAX_RULES + 1))
    assert len(policy(rules=rules[:-1]).rules) == MAX_RULES == 32
    assert "rules: 33, the limit is 32" in problem(rules=rules)


def test_a_policy_of_one_bank_covers_that_bank() -> None:
    assert (SHA256, 10) in policy().pcrs


def test_arguments_need_a_boot_log_of_pcr_9_and_an_ima_list() -> None:
    boot = BootTable(arguments=("ima_policy=tcb",))
    assert policy(boot=boot, logs=LogsTable(tcg2=(9,), ima=(10,))).arguments == ("ima_policy=tcb",)
    for logs in (LogsTable(tcg2=(9,)), LogsTable(tcg2=(8,), ima=(10,)), LogsTable(ima=(10,)), LogsTable()):
        assert "boot.arguments: needs PCR 9 in logs.tcg2, and logs.ima" in problem(boot=boot, logs=logs)
    for wrong in (("",), ("x" * (MAX_TEXT_BYTES + 1),), ("a",) * (MAX_PATTERNS + 1)):
        assert "boot.arguments: expected" in problem(boot=BootTable(arguments=wrong), logs=ALL_BOOT_PCRS)
    assert policy(boot=BootTable(arguments=("x" * MAX_TEXT_BYTES,) * MAX_PATTERNS), logs=ALL_BOOT_PCRS).arguments
