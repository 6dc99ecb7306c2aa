"""References from pages into the code: ``path.py::name`` and ``path.py::Class::name``, looked up without importing."""

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
REFERENCE: Final = re.compile(r"`([a-z_/]+[a-z0-9_/]*\.py)::([A-Za-z0-9_]+(?:::[A-Za-z0-9_]+)?)`")


@functools.cache
def definitions_in(path: str) -> Mapping[str, ast.stmt]:
    """Functions, classes, methods and constants that a module defines; nothing where there is no such module."""
    file = ROOT / path
    return dict(_definitions(ast.parse(file.read_text("utf-8")).body, "")) if file.is_file() else {}


def _definitions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name, node
            case ast.ClassDef(name=name):
                yield prefix + name, node
                yield from _definitions(node.body, f"{prefix}{name}::")
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name, node
            case _:
                pass


def missing_in(text: str) -> list[str]:
    """References of a page to what does not exist."""
    return sorted({f"{path}::{name}" for path, name in REFERENCE.findall(text) if name not in definitions_in(path)})


@functools.cache
def text_of(path: str, name: str) -> str:
    """The source of a definition with its decorators, and of everything in its module that it uses by name."""
    source, definitions = (ROOT / path).read_text("utf-8").splitlines(), definitions_in(path)
    seen, waiting, parts = {name}, [name], []
    while waiting:
        node = definitions[waiting.pop()]
        decorators = getattr(node, "decorator_list", [])
        start = min([node.lineno, *(each.lineno for each in decorators)])
        parts.append("\n".join(source[start - 1 : node.end_lineno]))
        used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        used |= {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}  # fixtures
        new = [each for each in sorted(used & definitions.keys()) if each not in seen]
        seen.update(new)
        waiting += new
    return "\n".join(parts)
