"""Rules in CEL: what compiles, what is answered, and what an unanswered one says."""

import pytest

from schemas.errors import ConfigError, PeerError
from schemas.reasons import Reason
from tests.worlds.step_bench import Bench
from verifier_worker.core.checks.rules import facts_of
from verifier_worker.core.policy.cel_rules import (
    FACTS,
    MAX_EXPRESSION_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_RULES,
    Rule,
    compile_rule,
    holds,
)


def problem(name: str, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        compile_rule(name, text)
    return refused.value.detail


@pytest.fixture
def facts() -> dict[str, object]:
    bench = Bench()
    bench.take(bench.device.push())
    assert bench.state is not None
    return facts_of(bench.state, bench.device.ueid, "lab", (), {})


def test_a_rule_keeps_its_name_and_text(facts: dict[str, object]) -> None:
    rule = compile_rule("in the lab", "group == 'lab'")
    assert (rule.name, rule.text) == ("in the lab", "group == 'lab'")
    assert holds(rule, facts)
    assert holds(rule, {**facts, "group": "edge"}) is False


def test_names_are_printable_and_of_a_bounded_length() -> None:
    assert compile_rule("n" * MAX_NAME_CHARACTERS, "true").name == "n" * 64
    for wrong in ("", "n" * 65, "a\nb"):
        assert problem(wrong, "true") == "name: expected 1 to 64 printable characters"


def test_expressions_are_of_a_bounded_length() -> None:
    longest = "true" + " " * (MAX_EXPRESSION_CHARACTERS - 4)
    assert compile_rule("r", longest).text == longest
    assert problem("r", longest + " ") == "2049 characters, the limit is 2048"
    assert (MAX_RULES, MAX_EXPRESSION_CHARACTERS) == (32, 2048)


def test_every_place_of_a_problem_is_named() -> None:
    found = problem("r", "nothing == 1\n  && naught == 2")
    assert found.startswith("line 1, column 1: undeclared reference to 'nothing'")
    assert "; line 2, column 6: undeclared reference to 'naught'" in found
    assert "|" not in found


def test_a_rule_is_true_or_false() -> None:
    assert problem("r", "violations + 1") == "line 1: the expression is of type int, expected bool"
    assert problem("r", "group") == "line 1: the expression is of type string, expected bool"


def test_every_fact_has_the_type_that_is_written(facts: dict[str, object]) -> None:
    types = {
        **dict.fromkeys(("ueid", "group"), "string"),
        **dict.fromkeys(("unexpected_total", "excluded_total", "violations", "reset_count"), "int"),
        **dict.fromkeys(("firmware_version", "hour_utc"), "int"),
        **dict.fromkeys(("reasons", "unexpected", "transitions", "clock_rate_ppm"), "list"),
        **dict.fromkeys(("said", "vouched", "log_entries"), "map"),
        "age_s": "double",
        "clock_safe": "bool",
    }
    assert types.keys() == FACTS.keys()
    for name, kind in types.items():
        assert holds(compile_rule("type", f"type({name}) == {kind}"), facts)
    for name in ("reasons", "unexpected", "transitions"):
        assert "no matching overload" in problem("elements", f"{name}.exists(each, each == 1)")
    assert "no matching overload" in problem("elements", "clock_rate_ppm.exists(each, each == 'x')")
    for name in ("said", "vouched", "log_entries"):
        assert "no matching overload" in problem("keys", f"{name}.exists(key, key == 1)")
    assert "no matching overload" in problem("values", "log_entries['ima'] == 'x'")
    any_type = "said['a'] == 1 || said['a'] == 'x' || vouched['a'] == true"
    assert compile_rule("values", any_type).text == any_type


@pytest.mark.parametrize(
    "text", ["said['absent'] == 'x'", "violations / unexpected_total == 1", "9223372036854775807 + violations + 1 > 0"]
)
def test_what_cannot_be_answered_is_a_failure_of_the_rule(text: str, facts: dict[str, object]) -> None:
    with pytest.raises(PeerError) as failed:
        holds(compile_rule("the rule", text), facts)
    assert failed.value.reason is Reason.POLICY_RULE_FAILED
    assert failed.value.detail.startswith("the rule: ")
    assert len(failed.value.detail) <= len("the rule: ") + 200


class Program:
    """Answers with anything, as the library could."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def eval(self, data: dict[str, object]) -> "Program":
        if isinstance(self.answer, Exception):
            raise self.answer
        return self

    def value(self) -> object:
        return self.answer


@pytest.mark.parametrize(
    "answer", [None, 1, "e" * 500, *(each("e" * 500) for each in (RuntimeError, ValueError, TypeError, OverflowError))]
)
def test_whatever_the_library_answers_is_true_false_or_a_failure(answer: object) -> None:
    with pytest.raises(PeerError) as failed:
        holds(Rule(name="r", text="", program=Program(answer)), {})
    assert failed.value.reason is Reason.POLICY_RULE_FAILED
    assert failed.value.detail == f"r: {str(answer)[:200]}"
    assert holds(Rule(name="r", text="", program=Program(True)), {}) is True


def test_a_message_without_a_place_is_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Environment:
        def compile(self, text: str) -> None:
            raise RuntimeError("something else\nwith details")

    monkeypatch.setattr("verifier_worker.core.policy.cel_rules._ENVIRONMENT", Environment())
    assert problem("r", "true") == "something else"
