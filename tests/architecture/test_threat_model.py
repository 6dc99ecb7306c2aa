"""Every row of docs/threat-model.md names test functions, and each of its reason codes is in one of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.reasons import Reason
from tests.architecture.references import REFERENCE, ROOT, missing_in, text_of

PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
REASONS = {reason.value: reason for reason in Reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attack: the codes that answer it, and the cell that names tests."""

    attack: str
    codes: tuple[Reason, ...]
    tests: str


def rows_of(page: str) -> Iterator[Row]:
    """The rows of all tables that have a column of tests."""
    within = False
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        within = (within and bool(cells)) or (len(cells) == 4 and cells[-1].strip() == "test")
        if within and len(cells) == 4 and cells[-1].strip() not in {"test", "---"}:
            named = re.findall(r"`([a-z0-9-]+)`", cells[2])
            codes = tuple(REASONS[code] for code in named if code in REASONS)
            yield Row(attack=cells[0], codes=codes, tests=cells[3])


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
