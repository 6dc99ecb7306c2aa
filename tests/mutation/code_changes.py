"""Compares compiled code, and finds the functions of a running process whose code another source changes."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import CO_OPTIMIZED
from types import CodeType, FunctionType


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """New code for a function; ``before`` is None where the change is outside of any function."""

    before: CodeType | None
    after: CodeType


def same_code(first: CodeType, second: CodeType) -> bool:
    """Whether two compiled modules do the same, wherever their lines are."""
    return next(differences(first, second), None) is None


def differences(before: CodeType, after: CodeType) -> Iterator[Replacement]:
    """The outermost functions of a module that differ; the module itself where that is not in a function."""
    if not _alike(before, after):
        yield Replacement(before=before if before.co_flags & CO_OPTIMIZED else None, after=after)
        return
    for old, new in zip(_nested(before), _nested(after), strict=True):
        for inner in differences(old, new):
            if before.co_flags & CO_OPTIMIZED:
                yield Replacement(before=before, after=after)
                return
            yield inner


def _alike(first: CodeType, second: CodeType) -> bool:
    return _own(first) == _own(second)


def _own(code: CodeType) -> tuple[object, ...]:
    constants = [
        (type(each).__name__, each) if not isinstance(each, CodeType) else ("code", each.co_name)
        for each in code.co_consts
    ]
    return (
        *(code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags),
        *(code.co_argcount, code.co_kwonlyargcount, code.co_exceptiontable),
        repr(constants),
    )


def _nested(code: CodeType) -> list[CodeType]:
    return [each for each in code.co_consts if isinstance(each, CodeType)]


def live_functions(paths: set[str]) -> dict[str, list[FunctionType]]:
    """The functions of this process that were made from some files, by file."""
    gc.unfreeze()  # nothing frozen is listed
    found: dict[str, list[FunctionType]] = {path: [] for path in paths}
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename in paths:
            found[each.__code__.co_filename].append(each)
    return found


def replace_functions(live: list[FunctionType], replacements: list[Replacement]) -> bool:
    """Gives functions of this process new code.

    Args:
        live: those that were made from the changed file.
        replacements: the changes.

    Returns:
        False where a change is outside of functions, or its function is gone: the module must be imported again.
    """
    for replacement in replacements:
        found = [each for each in live if each.__code__ == replacement.before]
        if not found or any(len(each.__code__.co_freevars) != len(replacement.after.co_freevars) for each in found):
            return False
        for function in found:
            function.__code__ = replacement.after
    return True
