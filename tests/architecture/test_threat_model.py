"""Every row of docs/threat-model.md names test functions, and each of its reason codes is in one of them.

A row may name invariants after *explored:* and theorems after *proved:*; each of them must stand on the page.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.reasons import Reason
from tests.architecture.references import REFERENCE, ROOT, definitions_in, missing_in, text_of

PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
REASONS = {reason.value: reason for reason in Reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attack: the codes that answer it; the tests that play it; what is explored and what is proved."""

    attack: str
    codes: tuple[Reason, ...]
    tests: str
    explored: str = ""
    proved: str = ""


def rows_of(page: str) -> Iterator[Row]:
    """The rows of all tables that have a column of tests."""
    within = False
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        within = (within and bool(cells)) or (len(cells) == 4 and cells[-1].strip() == "test")
        if within and len(cells) == 4 and cells[-1].strip() not in {"test", "---"}:
            named = re.findall(r"`([a-z0-9-]+)`", cells[2])
            codes = tuple(REASONS[code] for code in named if code in REASONS)
            tests, _, proved = cells[3].partition("proved:")
            tests, _, explored = tests.partition("explored:")
            yield Row(attack=cells[0], codes=codes, tests=tests, explored=explored, proved=proved)


def names_in(path: str, table: str) -> set[str]:
    """The functions that a table of a module lists."""
    node = definitions_in(path)[table]
    assert isinstance(node, ast.AnnAssign)
    assert node.value is not None
    listed = (each for each in ast.walk(node.value) if isinstance(each, ast.Tuple))
    return {element.id for each in listed for element in each.elts if isinstance(element, ast.Name)}


def mentions(text: str, reason: Reason) -> bool:
    """Whether source names a reason: as the enumeration's member, or as its text."""
    member = rf"\bReason\.{reason.name}\b"
    return re.search(rf"{member}|(?<![\w-]){reason.value}(?![\w-])", text) is not None


ROWS = tuple(rows_of(PAGE))


def test_the_tables_are_found() -> None:
    listed = [line for line in PAGE.splitlines() if line.startswith("| ") and "`tests/" in line]
    assert len(ROWS) == len(listed) > 130


def test_every_row_names_test_functions() -> None:
    wrong = [
        row.attack
        for row in ROWS
        if not REFERENCE.findall(row.tests)
        or REFERENCE.sub("", row.tests).strip()
        or not all("test_" in name and path.startswith("tests/") for path, name in REFERENCE.findall(row.tests))
    ]
    assert not wrong, f"name functions, as `tests/unit/test_x.py::test_y`: {'; '.join(wrong)}"


def test_what_is_explored_and_proved_is_named_as_that() -> None:
    for cells, folder in (
        ([row.explored for row in ROWS if row.explored], "tests/exploration/"),
        ([row.proved for row in ROWS if row.proved], "tests/proofs/"),
    ):
        assert len(cells) > 5
        for cell in cells:
            assert REFERENCE.findall(cell), cell
            assert not REFERENCE.sub("", cell).strip(), cell
            assert all(path.startswith(folder) for path, _ in REFERENCE.findall(cell)), cell


def test_each_invariant_and_each_theorem_stands_behind_a_row() -> None:
    explored = {name for row in ROWS for _, name in REFERENCE.findall(row.explored)}
    proved = {name for row in ROWS for _, name in REFERENCE.findall(row.proved)}
    invariants = names_in("tests/exploration/invariants.py", "INVARIANTS")
    theorems = names_in("tests/proofs/theorems.py", "THEOREMS")
    assert len(invariants) > 5
    assert len(theorems) > 5
    assert invariants <= explored, invariants - explored
    assert theorems <= proved, theorems - proved


def test_the_functions_exist() -> None:
    missing = missing_in(PAGE)
    assert not missing, f"renamed? mend docs/threat-model.md: {', '.join(missing)}"


def test_every_code_of_a_row_is_in_one_of_its_tests() -> None:
    wrong = [
        f"{row.attack}: {reason.value}"
        for row in ROWS
        for reason in row.codes
        if not any(mentions(text_of(path, name), reason) for path, name in REFERENCE.findall(row.tests))
    ]
    assert not wrong, "; ".join(wrong)


def test_what_a_test_mentions_is_found() -> None:
    table = "tests/component/relying_party/audit/test_fsck.py"
    assert mentions(text_of(table, "test_each_attack_is_found_with_the_first_bad_entry"), Reason.AUDIT_BACK_DATED)
    assert not mentions("Reason.HANDLE_EXPIRED 'handle-expired-long-ago'", Reason.HANDLE_OVERDUE)
    assert not mentions("Reason.HANDLE_EXPIRED_X 'not-handle-expired'", Reason.HANDLE_EXPIRED)
    (row,) = rows_of(
        "| attack | answered by | code | test |\n| --- | --- | --- | --- |\n| a | b | `malformed` | `x` |\n"
    )
    assert (row.attack, row.codes, row.tests) == ("a", (Reason.MALFORMED,), "`x`")
