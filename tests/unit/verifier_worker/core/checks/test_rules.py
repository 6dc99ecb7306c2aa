"""A policy's own rules: the facts they are asked with, and what comes of the answer."""

from dataclasses import replace

import pytest

from schemas.identifiers import ueid_text
from schemas.messages.evidence import Transition
from schemas.reasons import Reason
from schemas.transitions import TransitionKind
from schemas.verdicts import Weight
from tests.worlds.device import ALWAYS_CURRENT, make_policy
from tests.worlds.step_bench import Bench
from verifier_worker.core.checks.appraisal_input import AppraisalInput
from verifier_worker.core.checks.rules import apply_rules, facts_of
from verifier_worker.core.finding import Finding
from verifier_worker.core.policy.cel_rules import FACTS
from verifier_worker.core.policy.policy_file import RuleTable
from verifier_worker.core.state import AttesterState

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US


@pytest.fixture
def state() -> AttesterState:
    """Every fact of it differs from every other one."""
    bench = Bench()
    bench.take(bench.device.push())
    before = bench.state
    assert before is not None
    return replace(
        before,
        claims={"name": "x", "blob": b"\0", "answer": 42},
        measured=replace(
            before.measured,
            unexpected=((b"\1", "/a"), (b"\2", "/b")),
            unexpected_total=7,
            excluded=8,
            violations=9,
        ),
        received_us=30 * HOUR_US,
        made_after_us=30 * HOUR_US - 2_500_000,
        clock=replace(before.clock, rate_ppm=(-3, 4)),
        clock_safe=False,
        reset_count=11,
        firmware_version=2**64 - 5,
        transitions=(
            Transition(kind=TransitionKind.KEXEC, clock_ms=1, reset_count=1, restart_count=1),
            Transition(kind=TransitionKind.SUSPEND, clock_ms=2, reset_count=1, restart_count=1),
        ),
    )


FOUND = (
    Finding(reason=Reason.REBOOTED),
    Finding(reason=Reason.FILE_UNEXPECTED),
    Finding(reason=Reason.FILE_UNEXPECTED),
)


def test_the_facts_are_those_of_the_state(state: AttesterState) -> None:
    ueid = Bench().device.ueid
    assert facts_of(state, ueid, "lab", FOUND, {"secure-boot": "enabled"}) == {
        "ueid": ueid_text(ueid),
        "group": "lab",
        "said": {"name": "x", "answer": 42},
        "vouched": {"secure-boot": "enabled"},
        "reasons": ["file-unexpected", "rebooted"],
        "unexpected": ["/a", "/b"],
        "unexpected_total": 7,
        "excluded_total": 8,
        "violations": 9,
        "log_entries": {"tcg2": 9, "ima": 1},
        "age_s": 2.5,
        "clock_rate_ppm": [-3, 4],
        "clock_safe": False,
        "reset_count": 11,
        "firmware_version": -5,
        "transitions": ["kexec", "suspend"],
        "hour_utc": 6,
    }


def test_what_is_not_known_has_a_value_too(state: AttesterState) -> None:
    unknown = replace(state, made_after_us=None, clock=replace(state.clock, rate_ppm=None), firmware_version=5)
    facts = facts_of(unknown, Bench().device.ueid, "", (), {})
    assert facts["age_s"] == -1.0
    assert facts["clock_rate_ppm"] == []
    assert facts["firmware_version"] == 5


def test_every_fact_of_the_list_has_a_value(state: AttesterState) -> None:
    assert facts_of(state, Bench().device.ueid, "", (), {}).keys() == FACTS.keys()


@pytest.mark.parametrize(("received_us", "hour"), [(0, 0), (HOUR_US - 1, 0), (23 * HOUR_US, 23), (24 * HOUR_US, 0)])
def test_the_hour_is_of_the_receipt(state: AttesterState, received_us: int, hour: int) -> None:
    facts = facts_of(replace(state, received_us=received_us), Bench().device.ueid, "", (), {})
    assert facts["hour_utc"] == hour


def asked(state: AttesterState, *rules: RuleTable, group: str = "") -> list[Finding]:
    bench = Bench()
    policy = make_policy(rules=rules)
    given = AppraisalInput(
        state=state,
        handle=bench.handle,
        policy=policy,
        references=bench.trust.references,
        conflict="",
        missing="",
        current=ALWAYS_CURRENT,
        group=group,
        genuine=False,
    )
    return list(apply_rules(policy.rules, given, bench.device.ueid, FOUND, {"secure-boot": "enabled"}))


def test_a_rule_that_holds_is_found_with_its_name_and_weight(state: AttesterState) -> None:
    found = asked(
        state,
        RuleTable(name="first", when="true", then="warning"),
        RuleTable(name="second", when="false"),
        RuleTable(name="third", when="true", then="none"),
    )
    assert found == [
        Finding(reason=Reason.POLICY_RULE, detail="first", weight=Weight.WARNING),
        Finding(reason=Reason.POLICY_RULE, detail="third", weight=Weight.NONE),
    ]


def test_a_rule_is_asked_with_everything_that_was_found(state: AttesterState) -> None:
    when = (
        f"ueid == '{ueid_text(Bench().device.ueid)}' && group == 'lab' && 'rebooted' in reasons"
        " && vouched['secure-boot'] == 'enabled'"
    )
    assert [each.detail for each in asked(state, RuleTable(name="all", when=when), group="lab")] == ["all"]


def test_a_rule_that_cannot_be_answered_is_found_and_the_others_are_asked(state: AttesterState) -> None:
    found = asked(state, RuleTable(name="lost", when="said['lost'] == 'x'"), RuleTable(name="next", when="true"))
    assert [each.reason for each in found] == [Reason.POLICY_RULE_FAILED, Reason.POLICY_RULE]
    assert found[0].detail.startswith("lost: ")
    assert found[0].weight is None
