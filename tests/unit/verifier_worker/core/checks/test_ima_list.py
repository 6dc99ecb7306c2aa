"""What an IMA list must hold to show which programs ran."""

from dataclasses import replace

import pytest

from schemas.reasons import Reason
from tests.worlds.device import ALWAYS_CURRENT
from tests.worlds.step_bench import Bench
from verifier_worker.core.checks.appraisal_input import AppraisalInput
from verifier_worker.core.checks.ima_list import list_holds_what_it_must, list_was_not_outlived

AGENT, OTHER, POLICY_FILE = "/usr/bin/attester-agent", "/opt/agent", "/etc/ima/ima-policy"


def given(
    seen: tuple[str, ...], *, entries: int = 3, agent: tuple[str, ...] = (), required: tuple[str, ...] = ()
) -> AppraisalInput:
    """A settled push whose list has these files, under a policy with these demands."""
    bench = Bench()
    bench.take(bench.device.push())
    assert bench.state is not None
    return AppraisalInput(
        state=replace(
            bench.state,
            measured=replace(bench.state.measured, seen=seen),
            replay=replace(bench.state.replay, next_index={"ima": entries} if entries else {}),
        ),
        handle=bench.handle,
        policy=replace(bench.policy, ima=replace(bench.policy.ima, agent=agent, required=required)),
        references=bench.trust.references,
        conflict="",
        missing="",
        current=ALWAYS_CURRENT,
        group="",
        genuine=False,
    )


def found(facts: AppraisalInput) -> list[tuple[Reason, str]]:
    return [(each.reason, each.detail) for each in list_holds_what_it_must(facts)]


@pytest.mark.parametrize(("seen", "missing"), [((), True), ((POLICY_FILE,), True), ((OTHER,), False)])
def test_one_of_the_agents_paths_must_be_measured(seen: tuple[str, ...], missing: bool) -> None:
    expected = [(Reason.IMA_AGENT_MISSING, f"{AGENT} or {OTHER}")] if missing else []
    assert found(given(seen, agent=(AGENT, OTHER))) == expected


def test_each_required_file_must_be_measured() -> None:
    facts = given((AGENT,), required=(AGENT, POLICY_FILE, OTHER))
    assert found(facts) == [(Reason.IMA_FILE_MISSING, POLICY_FILE), (Reason.IMA_FILE_MISSING, OTHER)]


def test_a_missing_list_is_the_matter_of_another_check() -> None:
    assert found(given((), entries=0, agent=(AGENT,), required=(OTHER,))) == []
    assert found(given((), entries=1, agent=(AGENT,))) != []


def test_many_paths_are_cut_to_256_characters() -> None:
    ((_, detail),) = found(given((), agent=("/" + "a" * 200, "/" + "b" * 200)))
    assert len(detail) == 256


def test_without_a_policy_or_a_list_in_it_nothing_is_demanded() -> None:
    facts = given((), agent=(AGENT,))
    assert facts.policy is not None
    assert found(replace(facts, policy=None)) == []
    assert found(replace(facts, policy=replace(facts.policy, logs={"tcg2": frozenset({0})}))) == []


@pytest.mark.parametrize("outlived", [True, False])
def test_a_list_that_outlived_its_tpm_is_named_while_the_policy_has_one(outlived: bool) -> None:
    facts = given((AGENT,))
    assert facts.policy is not None
    lasting = replace(facts.state.lasting, outlived_tpm=outlived)
    facts = replace(facts, state=replace(facts.state, lasting=lasting))
    assert bool(list(list_was_not_outlived(facts))) is outlived
    assert list(list_was_not_outlived(replace(facts, policy=None))) == []
