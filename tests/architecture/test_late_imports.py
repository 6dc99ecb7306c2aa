"""Imports that the import graph does not see: `import_module` with a name. They are held to the same contracts."""

import ast
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import grimp
import pytest
from importlinter import api
from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.domain.contract import Contract

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS: dict[str, type[Contract]] = {
    "acyclic_siblings": AcyclicSiblingsContract,
    "forbidden": ForbiddenContract,
    "layers": LayersContract,
}
CONFIGURATION = api.read_configuration(str(ROOT / ".importlinter"))
PACKAGES: list[str] = CONFIGURATION["session_options"]["root_packages"]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def late_imports(text: str) -> Iterator[tuple[int, str | None]]:
    """The line of each late import, and the name; None where that is not a literal."""
    if "import_module" not in text and "__import__" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in {"import_module", "__import__"}:
                first = node.args[0] if node.args else None
                yield (
                    node.lineno,
                    first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None,
                )


LATE = [
    (module_of(path), line, name)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    for line, name in late_imports(path.read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports, early and late."""
    built = grimp.build_graph(
        *PACKAGES, include_external_packages=True, cache_dir=str(ROOT / ".cache" / "import-linter")
    )
    for importer, line, imported in LATE:
        if imported is not None:
            built.add_import(importer=importer, imported=imported, line_number=line, line_contents="import_module")
    return built


def broken(graph: grimp.ImportGraph) -> list[str]:
    """The contracts that do not hold."""
    names = []
    for options in CONFIGURATION["contracts_options"]:
        contract = CONTRACTS[options["type"]](
            name=options["name"], session_options=CONFIGURATION["session_options"], contract_options=options
        )
        check = contract.check(deepcopy(graph), verbose=False)  # a contract may change its graph
        if not check.kept:
            names.append(options["name"])
    return names


def test_a_late_import_names_a_module_of_ours() -> None:
    unnamed = [f"{importer}:{line}" for importer, line, name in LATE if name is None]
    assert unnamed == [], "name the module in a literal, so that this fence sees it"
    names = {name for _, _, name in LATE if name is not None}
    assert [name for name in names if not (ROOT / name.replace(".", "/")).with_suffix(".py").is_file()] == []
    assert LATE, "the fence finds late imports"


def test_late_imports_keep_the_contracts(graph: grimp.ImportGraph) -> None:
    assert broken(graph) == []


def test_a_ring_by_a_late_import_is_found(graph: grimp.ImportGraph) -> None:
    ring = deepcopy(graph)
    ring.add_import(
        importer="runtime.monitoring.otlp",
        imported="runtime.monitoring.tracing",
        line_number=1,
        line_contents="import_module",
    )
    assert "No rings" in broken(ring)
