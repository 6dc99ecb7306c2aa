"""Fences that no linter knows: sizes, names, and no path of one machine in a tracked file."""

import ast
import configparser
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = (
    "attester_agent",
    "endorser",
    "handle_distributor",
    "relying_party",
    "runtime",
    "schemas",
    "verifier_worker",
)
MODULE_LINES = 400
MAIN_LINES = 80
FUNCTION_LINES = 50
SHAPELESS_NAMES = {"base", "common", "helper", "helpers", "manager", "misc", "shared", "util", "utils"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(*folders: str) -> dict[str, Path]:
    found = {str(path.relative_to(ROOT)): path for folder in folders for path in (ROOT / folder).rglob("*.py")}
    return dict(sorted(found.items()))


PRODUCT_MODULES = modules(*PRODUCT, "deploy")
TEST_MODULES = modules("tests")
ALL_MODULES = PRODUCT_MODULES | TEST_MODULES


def tracked() -> Iterator[tuple[str, bytes]]:
    """Every file that is, or would be, committed."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files are tracked is unknown")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    for name in sorted(filter(None, listed.decode().split("\0"))):
        if (ROOT / name).is_file():
            yield name, (ROOT / name).read_bytes()


def is_module(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def nodes(names: Iterable[str], having: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every node of the modules in which the regular expression is found. One tree at a time: all at once would slow
    down every later test, by the search for garbage among them."""
    for name in names:
        text = ALL_MODULES[name].read_text(encoding="utf-8")
        if re.search(having, text, flags=re.MULTILINE):
            yield from ((name, node) for node in ast.walk(ast.parse(text)))


def lines_without_docstring(function: Function) -> int:
    first = function.lineno
    last = function.end_lineno or first
    docstring = function.body[0] if ast.get_docstring(function) is not None else None
    words = (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1 if docstring else 0
    return last - first + 1 - words


def test_no_module_is_longer_than_it_may_be() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in PRODUCT_MODULES.items()}
    limits = {name: MAIN_LINES if Path(name).name == "__main__.py" else MODULE_LINES for name in lengths}
    assert {name: length for name, length in lengths.items() if length > limits[name]} == {}


def test_no_function_is_longer_than_it_may_be() -> None:
    too_long = {
        f"{name}:{function.name}": length
        for name, function in nodes(ALL_MODULES)
        if isinstance(function, Function)
        if (length := lines_without_docstring(function)) > FUNCTION_LINES
    }
    assert too_long == {}


def test_every_name_says_what_the_thing_is() -> None:
    shapeless = [name for name in ALL_MODULES if {Path(name).stem, *Path(name).parent.parts} & SHAPELESS_NAMES]
    assert shapeless == []


def test_imports_stand_at_the_top() -> None:
    inside = [
        f"{name}:{node.lineno} in {function.name}"
        for name, function in nodes(ALL_MODULES, r"^[ \t]+(import|from [\w.]+ import) |[:;][ \t]*(import|from) ")
        if isinstance(function, Function)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inside == []


def test_no_test_sleeps_to_synchronise() -> None:
    # tests/programs starts real programs; between two looks at whether one is up, with a deadline, it may pause.
    sleeps = [
        f"{name}:{node.lineno}"
        for name, node in nodes(TEST_MODULES, "sleep")
        if not name.startswith("tests/programs/")
        if (isinstance(node, ast.Attribute) and node.attr == "sleep")
        or (isinstance(node, ast.ImportFrom) and any(alias.name == "sleep" for alias in node.names))
    ]
    assert sleeps == [], "wait for what the test waits for: an event, a message, a file"


def test_every_package_is_known_to_every_fence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    tool = project["tool"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"deploy", "tests"}
    assert packages == set(PRODUCT)
    assert set(tool["hatch"]["build"]["targets"]["wheel"]["packages"]) == packages
    assert set(tool["coverage"]["run"]["source_pkgs"]) == packages
    assert set(tool["mypy"]["files"]) == packages | {"deploy", "tests"}
    assert set(contracts["importlinter"]["root_packages"].split()) == packages


def test_every_core_module_is_held_to_be_pure() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    pure = set(contracts["importlinter:contract:pure-core"]["source_modules"].split())
    for section in contracts.sections():
        layers = contracts[section].get("layers", "")
        package = contracts[section].get("containers", "")
        _, below_settings, core = layers.partition("(settings)")
        if package not in PRODUCT or not below_settings or package == "runtime":
            continue
        names = re.findall(r"\w+", core)
        there = {f"{package}.{name}" for name in names if is_module(ROOT / package / name)}
        assert there - pure == set(), "add these to the contract pure-core in .importlinter"


def test_every_package_says_that_it_is_typed() -> None:
    assert [package for package in PRODUCT if not (ROOT / package / "py.typed").is_file()] == []


def test_the_contract_is_written_in_cddl() -> None:
    files = list((ROOT / "schemas" / "cddl").glob("*.cddl"))
    assert files
    assert [path.name for path in files if "=" not in path.read_text(encoding="utf-8")] == []


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    path_of_one_machine = re.compile(rb"(?<![\w.}/-])/(?:work|farm|root|home)/[a-z]")
    named = [
        f"{name}: {found.group().decode()}"
        for name, content in tracked()
        if b"\0" not in content and not name.endswith(".md")
        for found in path_of_one_machine.finditer(content)
    ]
    assert named == []


def test_no_lock_names_a_host_or_an_index() -> None:
    locks = list((ROOT / "deploy" / "locks").glob("*.txt"))
    assert locks
    for lock in locks:
        lines = lock.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if "://" in line or line.startswith(("-", "#"))] == []
        requirements = [line for line in lines if "==" in line]
        hashes = [line for line in lines if line.strip().startswith("--hash=sha256:")]
        assert len(hashes) >= len(requirements) > 0


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", str(ROOT / "run"), *arguments], check=False, capture_output=True, text=True)


def test_run_alone_lists_exactly_the_sub_commands_that_it_has() -> None:
    _, _, main = (ROOT / "run").read_text(encoding="utf-8").partition("\nmain() {")
    had = set(re.findall(r"^ {8}([a-z]+)\)", main, flags=re.MULTILINE))
    answer = run()
    assert answer.returncode == 0
    assert set(re.findall(r"\./run ([a-z]+)", answer.stdout)) == had


def test_run_refuses_a_sub_command_that_it_does_not_have() -> None:
    answer = run("nonsense")
    assert answer.returncode == 2
    assert '"nonsense"' in answer.stderr
    assert "./run demo" in answer.stderr


def test_no_test_is_imported() -> None:
    importing = [
        f"{name}: {node.module}"
        for name, node in nodes(TEST_MODULES, r"\btest_\w+\s+import\b")
        if isinstance(node, ast.ImportFrom) and re.fullmatch(r"tests\..*\btest_\w+", node.module or "")
    ]
    assert importing == [], "several tests share it: put it into tests/worlds, builders, programs or fakes"
