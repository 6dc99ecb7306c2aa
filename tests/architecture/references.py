"""References from pages into the code: ``path.py::name`` and ``path.py::Class::name``, looked up without importing."""

import ast
import functools
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
REFERENCE: Final = re.compile(r"`([a-z_/]+[a-z0-9_/]*\.py)::([A-Za-z0-9_]+(?:::[A-Za-z0-9_]+)?)`")


@functools.cache
def names_in(path: str) -> frozenset[str]:
    """Functions, classes, methods and constants that a module defines; empty where there is no such module."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    return frozenset(_names(ast.parse(file.read_text("utf-8")).body, ""))


def _names(body: list[ast.stmt], prefix: str) -> list[str]:
    names = []
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.append(prefix + name)
            case ast.ClassDef(name=name):
                names += [prefix + name, *_names(node.body, f"{prefix}{name}::")]
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.append(prefix + name)
            case _:
                pass
    return names


def missing_in(text: str) -> list[str]:
    """References of a page to what does not exist."""
    return sorted({f"{path}::{name}" for path, name in REFERENCE.findall(text) if name not in names_in(path)})
