"""What is kept of mutation runs: how each module fared, by a digest of its code, and which mutants are equivalent.

The digest changes with the code, not with its words: docstrings, comments, layout and strings with a space do not
count. It is the same under every supported Python.
"""

import ast
import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeAlias

from tests.mutation.mutants import Mutant

HERE: Final = Path(__file__).parent
RECORD: Final = HERE / "record.json"
EQUIVALENT: Final = HERE / "equivalent.toml"

Key: TypeAlias = tuple[str, str, str, str]

_DIGEST_CHARACTERS: Final = 16
_WITHOUT_MEANING: Final = frozenset({"kind", "type_comment", "type_ignores", "type_params"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fared:
    """The last run of a module.

    Attributes:
        digest: of its code.
        mutants: that were made.
        noticed: by a test.
        equivalent: that no test can notice, by ``equivalent.toml``.
    """

    digest: str
    mutants: int
    noticed: int
    equivalent: int


def digest_of(source: str) -> str:
    """Names the code of a module, whatever its words."""
    tree = ast.parse(source)
    return hashlib.sha256(repr(_plain(tree)).encode()).hexdigest()[:_DIGEST_CHARACTERS]


def _plain(node: object) -> object:
    """A tree of tuples: ``ast.dump`` writes another text under another Python."""
    if isinstance(node, list):
        return tuple(_plain(each) for each in node if not _is_docstring(each))
    if isinstance(node, ast.Constant):
        value = node.value
        return (type(value).__name__, "" if isinstance(value, str) and " " in value else repr(value))
    if isinstance(node, ast.JoinedStr):
        return (type(node).__name__, *_merged(node.values))
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node) if name not in _WITHOUT_MEANING)
        return (type(node).__name__, *(field for field in fields if field[1] not in ((), None)))
    return node


def _merged(parts: Iterable[ast.expr]) -> Iterator[object]:
    """The parts of a formatted string; Python 3.12.1 cuts its text at every brace."""
    for is_text, group in itertools.groupby(parts, key=lambda part: isinstance(part, ast.Constant)):
        if is_text:
            yield _plain(ast.Constant("".join(str(part.value) for part in group if isinstance(part, ast.Constant))))
        else:
            yield from map(_plain, group)


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def read_record(path: Path = RECORD) -> dict[str, Fared]:
    """How each module fared, by its path."""
    if not path.exists():
        return {}
    return {module: Fared(**each) for module, each in json.loads(path.read_text(encoding="utf-8")).items()}


def write_record(record: Mapping[str, Fared], path: Path = RECORD) -> None:
    """One line a module, so that two branches seldom change the same one."""
    lines = [f"  {json.dumps(module)}: {json.dumps(asdict(fared))}" for module, fared in sorted(record.items())]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_equivalent(path: Path = EQUIVALENT) -> dict[Key, str]:
    """The reason why a mutant cannot be noticed, by what names it."""
    table = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {
        (each["module"], each["function"], each["was"], each["becomes"]): each["why"]
        for each in table.get("equivalent", [])
    }


def write_draft(mutants: Iterable[Mutant], path: Path) -> None:
    """Entries for ``equivalent.toml`` whose reasons are still to be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(_entry(mutant) for mutant in mutants), encoding="utf-8")


def _entry(mutant: Mutant) -> str:
    names = (("module", mutant.module), ("function", mutant.function), ("was", mutant.was), ("becomes", mutant.becomes))
    lines = [f"{name} = {_toml(text)}" for name, text in (*names, ("why", ""))]
    return "\n".join((f"# line {mutant.line}", "[[equivalent]]", *lines, ""))


def _toml(text: str) -> str:
    """As a literal string where that is possible, since code is full of quotation marks."""
    if "\n" in text and "'''" not in text:
        return f"'''\n{text}'''"
    if "'" not in text and "\n" not in text:
        return f"'{text}'"
    return json.dumps(text)
