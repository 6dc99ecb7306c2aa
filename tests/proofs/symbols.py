"""Numbers that stand for all numbers: the product's arithmetic runs on them, and z3 answers for all values at once.

A :class:`Number` has the operators of an ``int``. A comparison that depends on it is a fork: :func:`check` runs the
same code once for each way that is possible. So a proof is about the code itself, not about a copy of its formulas.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd
from typing import Any, Final, Protocol, TypeVar

import z3
from typing_extensions import override

R = TypeVar("R")
EFFORT: Final = 20_000_000  # of one question, in z3's own measure: a busy machine changes no outcome


class UndecidedError(Exception):
    """The solver does not know."""


class Condition:
    """A comparison of numbers. As a ``bool`` it is a fork of its run.

    Attributes:
        term: what it says.
        opposite: what it says when it is false. Of whole numbers this is more than the negation.
    """

    def __init__(self, term: z3.BoolRef, opposite: z3.BoolRef, run: "Run") -> None:
        self.term, self.opposite, self.run = term, opposite, run

    def __bool__(self) -> bool:
        return self.run.decide(self)


class Number:
    """A number that can have any value. It is a multiple of ``step``; a real number has the step 0."""

    __hash__ = None  # type: ignore[assignment]  # nothing may look it up

    def __init__(self, term: z3.ArithRef, run: "Run", step: int = 0) -> None:
        self.term, self.run, self.step = term, run, step

    def _new(self, term: z3.ArithRef, other: object) -> "Number":
        return Number(term, self.run, self._common_step(other))

    def _common_step(self, other: object) -> int:
        step = _step(other)
        return 0 if step == 0 or self.step == 0 else gcd(step or 0, self.step)

    def __add__(self, other: object) -> "Number":
        return self._new(self.term + _term(other), other)

    def __radd__(self, other: object) -> "Number":
        return self + other

    def __sub__(self, other: object) -> "Number":
        return self._new(self.term - _term(other), other)

    def __rsub__(self, other: object) -> "Number":
        return -self + other

    def __mul__(self, other: object) -> "Number":
        step = _step(other)
        return Number(self.term * _term(other), self.run, self.step if step is None else self.step * step)

    def __rmul__(self, other: object) -> "Number":
        return self * other

    def __neg__(self) -> "Number":
        return Number(-self.term, self.run, self.step)

    def __abs__(self) -> "Number":
        return self if self >= 0 else -self

    def __floordiv__(self, other: object) -> "Number":
        return self.run.quotient(self.term, _term(other))

    def __rfloordiv__(self, other: object) -> "Number":
        return self.run.quotient(_term(other), self.term)

    def __mod__(self, other: object) -> "Number":
        return self - self.run.quotient(self.term, _term(other)) * other

    def __lt__(self, other: object) -> Condition:
        return self._less(other)

    def __le__(self, other: object) -> Condition:
        return self._not_more(other)

    def __gt__(self, other: object) -> Condition:
        return (-self)._less(-other)  # type: ignore[operator]  # a number

    def __ge__(self, other: object) -> Condition:
        return (-self)._not_more(-other)  # type: ignore[operator]  # a number

    def _less(self, other: object) -> Condition:
        step, mine, its = self._common_step(other), self.term, _term(other)
        return Condition(mine + step <= its if step else mine < its, mine >= its, self.run)

    def _not_more(self, other: object) -> Condition:
        step, mine, its = self._common_step(other), self.term, _term(other)
        return Condition(mine <= its, mine >= its + step if step else mine > its, self.run)

    @override
    def __eq__(self, other: object) -> Any:
        if not isinstance(other, (Number, int)):
            return NotImplemented
        less, more = self < other, self > other
        return Condition(self.term == _term(other), z3.Or(less.term, more.term), self.run)

    @override
    def __ne__(self, other: object) -> Any:
        if not isinstance(other, (Number, int)):
            return NotImplemented
        same = self == other
        return Condition(same.opposite, same.term, self.run)

    def __bool__(self) -> bool:
        return bool(self != 0)


def _term(value: object) -> Any:  # noqa: ANN401 z3 takes Python's integers
    return value.term if isinstance(value, Number) else value


def _step(value: object) -> int | None:
    """Of what a number is a multiple; 0 for a real number; None for zero, a multiple of everything."""
    if isinstance(value, Number):
        return value.step
    return abs(value) or None if isinstance(value, int) else 0


class Values(Protocol):
    """What a theorem is stated with: names of numbers, assumptions and claims."""

    def whole(self, name: str) -> Any:  # noqa: ANN401 a Number, or its value
        """A whole number that the code is given."""

    def real(self, name: str) -> Any:  # noqa: ANN401 as above
        """A real number: a true time, an exact clock."""

    def limit(self, condition: object) -> None:
        """Says for which numbers the code is meant."""

    def assume(self, name: str, condition: object) -> None:
        """Takes a condition for granted, unless the assumption of this name was dropped."""

    def claim(self, words: str, condition: object) -> None:
        """States what must hold."""


@dataclass
class Run:
    """One way through the code.

    Attributes:
        prefix: the decisions to take.
        dropped: the name of an assumption that is not made.
        whole_numbers: for a counter-example: whole numbers are whole, and no number is negative. Without it they may
            have fractions, except where two of them are compared, and a quotient may be any number within one below the
            exact one. A proof then covers more than the code can do, and is found in much less time.
        fixed: numbers that have one value.
    """

    prefix: tuple[bool, ...]
    dropped: str
    whole_numbers: bool
    fixed: dict[str, int]
    solver: Any = field(default_factory=z3.Solver)
    decisions: list[bool] = field(default_factory=list)
    others: list[tuple[bool, ...]] = field(default_factory=list)
    names: dict[str, z3.ArithRef] = field(default_factory=dict)
    opposites: list[tuple[str, z3.BoolRef]] = field(default_factory=list)
    assumed: set[str] = field(default_factory=set)
    used: dict[str, int] = field(default_factory=dict)
    quotients: int = 0

    def __post_init__(self) -> None:
        self.solver.set("rlimit", EFFORT)

    def whole(self, name: str) -> Any:  # noqa: ANN401 a Number, or its value
        if name in self.fixed:
            self.used[name] = self.fixed[name]
            return self.fixed[name]
        return self._named(name, z3.Int(name) if self.whole_numbers else z3.Real(name), step=1)

    def real(self, name: str) -> Any:  # noqa: ANN401 as above
        return self._named(name, z3.Real(name))

    def _named(self, name: str, term: z3.ArithRef, *, step: int = 0) -> Number:
        self.names[name] = term
        if self.whole_numbers:
            self.solver.add(term >= 0)
        return Number(term, self, step)

    def limit(self, condition: object) -> None:
        self.solver.add(_bool_term(condition))

    def assume(self, name: str, condition: object) -> None:
        self.assumed.add(name)
        if name != self.dropped:
            self.solver.add(_bool_term(condition))

    def claim(self, words: str, condition: object) -> None:
        opposite = condition.opposite if isinstance(condition, Condition) else z3.BoolVal(not condition)
        self.opposites.append((words, opposite))

    def decide(self, condition: Condition) -> bool:
        """Takes one side of a fork; leaves the other one, if it is possible, for another run."""
        number = len(self.decisions)
        if number < len(self.prefix):
            taken = self.prefix[number]
        else:
            taken = self._is_possible(condition.term)
            if taken and self._is_possible(condition.opposite):
                self.others.append((*self.decisions, False))
        self.decisions.append(taken)
        self.solver.add(condition.term if taken else condition.opposite)
        return taken

    def _is_possible(self, term: z3.BoolRef) -> bool:
        return bool(self.solver.check(term) != z3.unsat)

    def quotient(self, dividend: Any, divisor: Any) -> Number:  # noqa: ANN401 terms or integers
        """The floor of a quotient, by what is true of it."""
        if not isinstance(divisor, int) and self.solver.check(divisor <= 0) != z3.unsat:
            raise UndecidedError("a divisor that may not be positive")
        self.quotients += 1
        name = f"quotient {self.quotients}"
        result = z3.Int(name) if self.whole_numbers else z3.Real(name)
        self.solver.add(result * divisor <= dividend, dividend < result * divisor + divisor)
        return Number(result, self, 1)


def _bool_term(condition: object) -> Any:  # noqa: ANN401 z3 takes Python's truth values
    return condition.term if isinstance(condition, Condition) else z3.BoolVal(bool(condition))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refutation:
    """A claim that does not hold, and numbers for which it does not."""

    claim: str
    numbers: dict[str, int | Fraction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What the solver found about a theorem.

    Attributes:
        paths: ways through the code.
        assumptions: named in it.
        refutation: of the first claim that does not hold; None if all hold.
    """

    paths: int
    assumptions: frozenset[str]
    refutation: Refutation | None = None


def check(
    theorem: Callable[[Values], None],
    *,
    dropped: str = "",
    whole_numbers: bool = False,
    fixed: dict[str, int] | None = None,
) -> Checked:
    """Runs a theorem along each way through the code, and asks the solver for each claim.

    Raises:
        UndecidedError: the solver does not know.
    """
    waiting: list[tuple[bool, ...]] = [()]
    paths, assumed = 0, set[str]()
    while waiting:
        run = Run(waiting.pop(), dropped, whole_numbers, fixed or {})
        theorem(run)
        paths += 1
        waiting += run.others
        assumed |= run.assumed
        for words, opposite in run.opposites:
            answer = run.solver.check(opposite)
            if answer == z3.sat:
                numbers = dict(_numbers(run)) | run.used
                return Checked(
                    paths=paths, assumptions=frozenset(assumed), refutation=Refutation(claim=words, numbers=numbers)
                )
            if answer != z3.unsat:
                raise UndecidedError(f"{words}: {run.solver.reason_unknown()}")
    return Checked(paths=paths, assumptions=frozenset(assumed))


def _numbers(run: Run) -> Iterator[tuple[str, int | Fraction]]:
    model = run.solver.model()
    for name, term in run.names.items():
        value = model.eval(term, model_completion=True)
        if z3.is_algebraic_value(value):
            value = value.approx(20)
        yield name, value.as_long() if z3.is_int_value(value) else Fraction(str(value.as_fraction()))


@dataclass
class Replay:
    """Runs a theorem with a refutation's numbers: plain arithmetic, without the solver."""

    numbers: dict[str, int | Fraction]
    broken_assumptions: list[str] = field(default_factory=list)
    broken_claims: list[str] = field(default_factory=list)

    def whole(self, name: str) -> Any:  # noqa: ANN401 a value
        return self.numbers[name]

    def real(self, name: str) -> Any:  # noqa: ANN401 a value
        return self.numbers[name]

    def limit(self, condition: object) -> None:
        if not condition:
            self.broken_assumptions.append("limit")

    def assume(self, name: str, condition: object) -> None:
        if not condition:
            self.broken_assumptions.append(name)

    def claim(self, words: str, condition: object) -> None:
        if not condition:
            self.broken_claims.append(words)
