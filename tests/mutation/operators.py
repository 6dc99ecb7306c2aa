"""Changes that mutmut does not make: what people try first when they want to break a check by hand.

Drop one condition of several, take a branch always or never, leave out a statement, an entry of a table or an end of a
slice, return nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import libcst as cst

Operator: TypeAlias = tuple[type, Callable[[Any], Iterator[cst.CSTNode]]]

_OTHER_FUNCTION: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
_TRUE: Final = cst.Name("True")
_FALSE: Final = cst.Name("False")


def drop_operand(node: cst.BooleanOperation) -> Iterator[cst.BaseExpression]:
    """``a and b``: ``a`` alone, ``b`` alone."""
    yield _enclosed(node.left)
    yield _enclosed(node.right)


def drop_comparison(node: cst.Comparison) -> Iterator[cst.Comparison]:
    """``a <= b <= c``: ``a <= b``, ``b <= c``."""
    if len(node.comparisons) > 1:
        yield node.with_changes(comparisons=node.comparisons[:-1])
        yield node.with_changes(left=node.comparisons[0].comparator, comparisons=node.comparisons[1:])


def decide_branch(node: cst.If) -> Iterator[cst.If]:
    """The branch is always taken, or never."""
    yield node.with_changes(test=_TRUE, whitespace_before_test=cst.SimpleWhitespace(" "))
    yield node.with_changes(test=_FALSE, whitespace_before_test=cst.SimpleWhitespace(" "))


def skip_loop(node: cst.While) -> Iterator[cst.While]:
    """The loop's body never runs."""
    yield node.with_changes(test=_FALSE, whitespace_after_while=cst.SimpleWhitespace(" "))


def drop_filter(node: cst.CompFor) -> Iterator[cst.CompFor]:
    """A comprehension takes everything."""
    for number in range(len(node.ifs)):
        yield node.with_changes(ifs=[*node.ifs[:number], *node.ifs[number + 1 :]])


def drop_statement(node: cst.Expr) -> Iterator[cst.Pass]:
    """A call, or a ``yield``, does not happen."""
    if not isinstance(node.value, cst.BaseString | cst.Ellipsis):
        yield cst.Pass()


def drop_raise(_: cst.Raise) -> Iterator[cst.Pass]:
    """An error is overlooked."""
    yield cst.Pass()


def return_nothing(node: cst.Return) -> Iterator[cst.Return]:
    """Returns None."""
    if node.value is not None and not (isinstance(node.value, cst.Name) and node.value.value == "None"):
        yield node.with_changes(value=cst.Name("None"), whitespace_after_return=cst.SimpleWhitespace(" "))


def drop_element(node: cst.Tuple | cst.List | cst.Set | cst.Dict) -> Iterator[cst.BaseExpression]:
    """A table lacks one of its entries."""
    if len(node.elements) > 1:
        for number in range(len(node.elements)):
            yield node.with_changes(elements=[*node.elements[:number], *node.elements[number + 1 :]])


def drop_slice_end(node: cst.Slice) -> Iterator[cst.Slice]:
    """``[:n]`` and ``[n:]`` take everything."""
    if node.lower is not None:
        yield node.with_changes(lower=None)
    if node.upper is not None:
        yield node.with_changes(upper=None)


def decrement(node: cst.Integer) -> Iterator[cst.BaseExpression]:
    """One less; mutmut makes it one more."""
    if node.evaluated_value > 0:
        yield node.with_changes(value=repr(node.evaluated_value - 1))


def swap_function(node: cst.Call) -> Iterator[cst.Call]:
    """``min`` for ``max``, ``any`` for ``all``, and back."""
    if isinstance(node.func, cst.Name) and node.func.value in _OTHER_FUNCTION:
        yield node.with_changes(func=cst.Name(_OTHER_FUNCTION[node.func.value]))


def _enclosed(node: cst.BaseExpression) -> cst.BaseExpression:
    """In parentheses, since it may now stand where something binds tighter."""
    if node.lpar:
        return node
    return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


OPERATORS: Final[Sequence[Operator]] = (
    (cst.BooleanOperation, drop_operand),
    (cst.Comparison, drop_comparison),
    (cst.If, decide_branch),
    (cst.While, skip_loop),
    (cst.CompFor, drop_filter),
    (cst.Expr, drop_statement),
    (cst.Raise, drop_raise),
    (cst.Return, return_nothing),
    (cst.Tuple, drop_element),
    (cst.List, drop_element),
    (cst.Set, drop_element),
    (cst.Dict, drop_element),
    (cst.Slice, drop_slice_end),
    (cst.Integer, decrement),
    (cst.Call, swap_function),
)
