"""Which parts of the code are words for people: a change of them decides nothing, and nobody should have to test it."""

from typing import Final, TypeAlias

import libcst as cst

Text: TypeAlias = cst.SimpleString | cst.FormattedString | cst.ConcatenatedString

# They take the name of what they read for the text of an error: ``schemas.codecs.fields``, the codecs, their reader.
_READERS: Final = ("as_", "cbor.", "cose.", "reader.")
_FIELD: Final = "field"
_BIG: Final = "big"


def is_docstring(node: cst.CSTNode) -> bool:
    """A string that stands by itself."""
    return isinstance(node, cst.Expr) and isinstance(node.value, cst.BaseString)


def is_prose(node: cst.CSTNode) -> bool:
    """A text with a space; keys and names have none."""
    if isinstance(node, cst.SimpleString):
        return isinstance(node.evaluated_value, str) and " " in node.evaluated_value
    return isinstance(node, Text)


def is_words(argument: cst.Arg, call: cst.Call) -> bool:
    """An argument that is only there for the text of an error."""
    value = argument.value
    if is_prose(value) or (isinstance(value, cst.Name) and value.value == _FIELD):
        return True
    return isinstance(value, cst.SimpleString) and called(call).startswith(_READERS)


def is_assertion(argument: cst.Arg, call: cst.Call) -> bool:
    """``strict`` of ``zip``: it asserts what the code around it makes sure of."""
    return argument.keyword is not None and called(call) == "zip"


def called(node: cst.CSTNode) -> str:
    """The name of the function that is called, with its module; empty for anything else."""
    match node:
        case cst.Call(func=cst.Name(value=name)):
            return name
        case cst.Call(func=cst.Attribute(value=cst.Name(value=module), attr=cst.Name(value=name))):
            return f"{module}.{name}"
        case _:
            return ""


def changes_nothing(before: cst.CSTNode, after: cst.CSTNode) -> bool:
    """Whether nobody can tell: words, a default that is left out, None where False was, or ``strict`` of ``zip``."""
    if isinstance(before, cst.Assign | cst.AnnAssign):
        return _is_name(before.value, "False")
    if not (isinstance(before, cst.Call) and isinstance(after, cst.Call)):
        return False
    argument = _changed_argument(before, after)
    if argument is None:
        return False
    if is_words(argument, before) or is_assertion(argument, before):
        return True
    if len(after.args) < len(before.args):
        value = argument.value
        return isinstance(value, cst.SimpleString) and value.evaluated_value == _BIG  # what to_bytes takes by itself
    return _is_name(argument.value, "False")


def _changed_argument(before: cst.Call, after: cst.Call) -> cst.Arg | None:
    """The argument that ``after`` replaces or lacks."""
    kept = {id(argument) for argument in after.args}
    return next((argument for argument in before.args if id(argument) not in kept), None)


def _is_name(node: cst.CSTNode | None, name: str) -> bool:
    return isinstance(node, cst.Name) and node.value == name
