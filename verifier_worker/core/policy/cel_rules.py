"""A policy's own rules in CEL, the Common Expression Language. The only importer of cel-expr-python.

An expression is compiled and type-checked when the policy is read. So an unknown name, a wrong type, or a result that
is not true or false is found before any evidence arrives. Rules use only the facts below, which are bounded. The
library bounds iterations, and regular expressions are RE2, which takes linear time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cel_expr_python import cel  # type: ignore[import-untyped]  # has stubs, no py.typed

from schemas.errors import ConfigError, PeerError
from schemas.reasons import Reason

MAX_RULES: Final = 32
MAX_EXPRESSION_CHARACTERS: Final = 2048
MAX_NAME_CHARACTERS: Final = 64

# name: (type, meaning). The meaning states which facts only the attester reports.
FACTS: Final[Mapping[str, tuple[Any, str]]] = {
    "ueid": (cel.Type.STRING, "the attester, base64url"),
    "group": (cel.Type.STRING, "its group, by its endorsement; empty for none"),
    "said": (cel.Type.Map(cel.Type.STRING, cel.Type.DYN), "its own claims, by name; nothing proves them"),
    "vouched": (cel.Type.Map(cel.Type.STRING, cel.Type.DYN), "claims that quoted PCRs vouch for: verified_claims"),
    "reasons": (cel.Type.List(cel.Type.STRING), "reason codes of all findings before the rules"),
    "unexpected": (cel.Type.List(cel.Type.STRING), "files without a reference value: the first 16"),
    "unexpected_total": (cel.Type.INT, "number of all of them"),
    "excluded_total": (cel.Type.INT, "number of files that need no reference value by the policy's ima.exclude"),
    "violations": (cel.Type.INT, "number of files written while they were measured"),
    "log_entries": (cel.Type.Map(cel.Type.STRING, cel.Type.INT), "entries of each log, by name: tcg2, ima, cel/NAME"),
    "age_s": (cel.Type.DOUBLE, "greatest possible age of the evidence on receipt, seconds; -1 if unknown"),
    "clock_rate_ppm": (cel.Type.List(cel.Type.INT), "bounds of the clock's rate error: two numbers, or empty"),
    "clock_safe": (cel.Type.BOOL, "the TPM's last shutdown was orderly"),
    "reset_count": (cel.Type.INT, "TPM resets, with a constant added for keys outside the endorsement hierarchy"),
    "firmware_version": (cel.Type.INT, "of the TPM, likewise with a constant added; as a signed 64-bit number"),
    "transitions": (cel.Type.List(cel.Type.STRING), "suspend, hibernate, kexec since the last push, as reported"),
    "hour_utc": (cel.Type.INT, "of the receipt, 0 to 23"),
}

_ENVIRONMENT: Final = cel.NewEnv(variables={name: kind for name, (kind, _) in FACTS.items()})
_PLACE: Final = re.compile(r"<input>:(\d+):(\d+): (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A compiled expression; rules are equal when their texts are."""

    name: str
    text: str
    program: Any


def compile_rule(name: str, text: str) -> Rule:
    """Compiles and type-checks an expression.

    Raises:
        ConfigError: with line, column and what was expected.
    """
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise ConfigError(f"name: expected 1 to {MAX_NAME_CHARACTERS} printable characters")
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        raise ConfigError(f"{len(text)} characters, the limit is {MAX_EXPRESSION_CHARACTERS}")
    try:
        program = _ENVIRONMENT.compile(text)
    except RuntimeError as error:
        raise ConfigError(_explain(str(error))) from error
    kind = program.return_type()
    if kind != cel.Type.BOOL:
        raise ConfigError(f"line 1: the expression is of type {kind.name().lower()}, expected bool")
    return Rule(name=name, text=text, program=program)


def holds(rule: Rule, facts: Mapping[str, object]) -> bool:
    """Evaluates a rule.

    Args:
        rule: compiled.
        facts: a value for each of :data:`FACTS`.

    Raises:
        PeerError: ``policy-rule-failed``: a missing key, a division by zero, too many iterations.
    """
    try:
        value = rule.program.eval(data=dict(facts)).value()
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise PeerError(Reason.POLICY_RULE_FAILED, f"{rule.name}: {str(error)[:200]}") from error
    if not isinstance(value, bool):
        raise PeerError(Reason.POLICY_RULE_FAILED, f"{rule.name}: {str(value)[:200]}")
    return value


def _explain(message: str) -> str:
    """The library's message as one line, without its drawing of the expression."""
    places = [f"line {line}, column {column}: {what}" for line, column, what in _PLACE.findall(message)]
    return "; ".join(places) or message.splitlines()[0]
