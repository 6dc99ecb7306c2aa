"""Makes the mutants of one module: mutmut's operators and ours, applied to the source text one at a time.

Not changed: words (docstrings, strings with a space, the text of an error), annotations, type aliases, blocks for type
checkers, imports, decorators, and ``strict`` of ``zip``, which only asserts that lengths are equal. A change that
compiles to the same code is dropped, and so is one that another operator has made already.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import ClassVar, Final

import libcst as cst
from libcst.metadata import BaseMetadataProvider, CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal, operator_string
from typing_extensions import override

from tests.mutation.code_changes import same_code
from tests.mutation.operators import OPERATORS, Operator
from tests.mutation.words import Text, called, changes_nothing, is_assertion, is_docstring, is_prose, is_words

_SKIPPED = cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom | cst.TypeAlias | cst.FormattedStringText
_TYPING_CALLS: Final = frozenset({"TypeVar", "NewType", "cast"})
_ARGUMENTS_MATTER_NOT: Final = frozenset({"len", "isinstance"})  # another number of arguments fails at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change.

    Attributes:
        module: path of the file, from the root of the repository.
        function: the function or class that holds the change; empty at the top of the module.
        line, end_line: of what is changed.
        was, becomes: the lines that differ, without indentation.
        source: the whole module with the change.
    """

    module: str
    function: str
    line: int
    end_line: int
    was: str
    becomes: str
    source: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names this change although lines move: module, function, and both texts."""
        return self.module, self.function, self.was, self.becomes


def make_mutants(module: str, source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    finder = _Finder(module)
    wrapper.visit(finder)
    tree = wrapper.module
    pieces = [tree.code_for_node(statement) for statement in tree.body]
    head = source[: len(source) - len("".join(pieces)) - len(_footer(tree))]
    original, found, texts = compile(source, module, "exec"), list[Mutant](), {source}
    for change in finder.changes:
        statement = tree.body[change.statement]
        piece = tree.code_for_node(statement.deep_replace(change.before, change.after))
        text = "".join((head, *pieces[: change.statement], piece, *pieces[change.statement + 1 :], _footer(tree)))
        code = _compiled(text, module) if text not in texts else None
        if code is None or same_code(original, code):
            continue
        texts.add(text)
        was, becomes = _differing(pieces[change.statement], piece)
        found.append(
            Mutant(
                module=module,
                function=change.function,
                line=change.place.start.line,
                end_line=change.place.end.line,
                was=was,
                becomes=becomes,
                source=text,
            )
        )
    return sorted(found, key=lambda mutant: mutant.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    statement: int
    function: str
    place: CodeRange
    before: cst.CSTNode
    after: cst.CSTNode


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES: ClassVar[Collection[type[BaseMetadataProvider[object]]]] = (PositionProvider,)

    def __init__(self, module: str) -> None:
        super().__init__()
        self.changes: list[_Change] = []
        self._module = module
        self._statement = -1
        self._names: list[str] = []
        self._raising = 0
        self._top: dict[int, int] = {}
        self._targets: set[int] = set()  # a name less there fails at once
        self._asserted: set[int] = set()
        self._words: set[int] = set()
        self._place = CodeRange((1, 0), (1, 0))

    @override
    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Module):
            self._top = {id(statement): number for number, statement in enumerate(node.body)}
            return True
        self._statement = self._top.get(id(node), self._statement)
        place = self.get_metadata(PositionProvider, node, None)
        if isinstance(place, CodeRange):
            self._place = place
        if isinstance(node, _SKIPPED) or _is_for_types(node) or is_docstring(node) or called(node) in _TYPING_CALLS:
            return False
        if self._raising and isinstance(node, cst.FormattedString):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._names.append(node.name.value)
        if isinstance(node, cst.For | cst.CompFor | cst.AssignTarget):
            self._targets.add(id(node.target))
        if isinstance(node, cst.Call):
            self._words.update(id(argument.value) for argument in node.args if is_words(argument, node))
            self._asserted.update(id(argument.value) for argument in node.args if is_assertion(argument, node))
        if (
            self._statement >= 0
            and id(node) not in self._targets | self._asserted
            and not isinstance(node, cst.FunctionDef | cst.ClassDef)
        ):
            for after in self._mutations(node):
                self._add(node, after)
        self._raising += isinstance(node, cst.Raise)
        return True

    @override
    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef) and self._names:
            self._names.pop()
        self._raising -= isinstance(original_node, cst.Raise)

    def _add(self, before: cst.CSTNode, after: cst.CSTNode) -> None:
        self.changes.append(
            _Change(
                statement=self._statement,
                function=".".join(self._names),
                place=self._place,
                before=before,
                after=after,
            )
        )

    def _mutations(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        if isinstance(node, cst.BaseString):
            if isinstance(node, cst.SimpleString) and not (self._raising or is_prose(node) or id(node) in self._words):
                yield from list(operator_string(node))[:1]
            return
        if isinstance(node, cst.Call) and self._raising:
            yield from _other_reasons(node)
            return
        for kind, operator in _operators():
            if isinstance(node, kind) and not (
                operator is operator_arg_removal and called(node) in _ARGUMENTS_MATTER_NOT
            ):
                yield from (after for after in operator(node) if not changes_nothing(node, after))


def _is_for_types(node: cst.CSTNode) -> bool:
    """Whether only a type checker reads it: a type alias, a type variable, or a block that never runs."""
    match node:
        case cst.Assign(value=cst.Call() as value):
            return called(value) == "TypeVar"
        case cst.AnnAssign(annotation=cst.Annotation(annotation=cst.Name(value=name))):
            return name == "TypeAlias"
        case cst.If(test=cst.Name(value=name), orelse=None):
            return name == "TYPE_CHECKING"
        case _:
            return False


def _operators() -> Iterator[Operator]:
    yield from mutation_operators  # type: ignore[misc]
    yield from OPERATORS


def _other_reasons(node: cst.Call) -> Iterator[cst.Call]:
    """The arguments of an error that are not its text."""
    for number, argument in enumerate(node.args):
        if not isinstance(argument.value, Text | cst.Name):
            changed = argument.with_changes(value=cst.Name("None"))
            yield node.with_changes(args=[*node.args[:number], changed, *node.args[number + 1 :]])


def _footer(tree: cst.Module) -> str:
    return "".join(tree.code_for_node(line) for line in tree.footer)


def _compiled(text: str, module: str) -> CodeType | None:
    try:
        return compile(text, module, "exec")
    except SyntaxError:
        return None


def _differing(before: str, after: str) -> tuple[str, str]:
    """The lines of two texts that differ, between the first and the last one that does."""
    old, new = before.splitlines(), after.splitlines()
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return _text(old[start : len(old) - end]), _text(new[start : len(new) - end])


def _text(lines: Sequence[str]) -> str:
    return "\n".join(line.strip() for line in lines)
