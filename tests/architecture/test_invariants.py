"""The invariants of docs/architecture.md: each has a number, an enforcing function and a test; citations exist."""

import re
import subprocess

from tests.architecture.references import REFERENCE, ROOT, definitions_in, missing_in

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
ITEM = re.compile(r"^\* \*\*I(\d+)\. (.*?)(?=^\* |^#|\Z)", re.MULTILINE | re.DOTALL)
INVARIANTS = {int(number): text for number, text in ITEM.findall(PAGE)}
CITATION = re.compile(r"\binvariants?\s+(I\d+(?:(?:,| and| to|,? or)\s+I\d+)*)")
MOST_LINES = 150


def cited_in(text: str) -> set[int]:
    """Numbers of the invariants that a text cites."""
    return {int(number) for group in CITATION.findall(text) for number in re.findall(r"I(\d+)", group)}


def tracked_texts() -> dict[str, str]:
    """Every file of ours that may cite an invariant."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.cddl", "*.toml"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    paths = [path for path in listed.stdout.splitlines() if (ROOT / path).is_file()]
    return {path: (ROOT / path).read_text("utf-8") for path in paths}


def test_numbers_are_consecutive() -> None:
    assert [int(number) for number, _ in ITEM.findall(PAGE)] == list(range(1, len(INVARIANTS) + 1))
    assert len(INVARIANTS) > 20


def test_every_invariant_names_the_code_that_enforces_it_and_a_test() -> None:
    for number, text in INVARIANTS.items():
        paths = [path for path, _ in REFERENCE.findall(text)]
        assert any(not path.startswith("tests/") for path in paths), f"I{number}: name the function that enforces it"
        tests = [name for path, name in REFERENCE.findall(text) if path.startswith("tests/")]
        assert any("test_" in name for name in tests), f"I{number}: name the test that would fail"


def test_what_the_page_names_exists() -> None:
    missing = missing_in(PAGE)
    assert not missing, f"renamed? mend docs/architecture.md: {', '.join(missing)}"


def test_cited_invariants_exist() -> None:
    wrong = {
        f"{path}: I{number}"
        for path, text in tracked_texts().items()
        if not path.startswith("tests/architecture/")
        for number in cited_in(text) - INVARIANTS.keys()
    }
    assert wrong == set()


def test_nothing_cites_a_page_that_is_not_here() -> None:
    assert [path for path, text in tracked_texts().items() if re.search(r"\bDESIGN \d", text)] == []


def test_the_page_stays_short() -> None:
    assert len(PAGE.splitlines()) <= MOST_LINES


def test_a_wrong_reference_and_every_citation_are_found() -> None:
    assert missing_in("`schemas/errors.py::PeerError` `schemas/errors.py::Nothing` `schemas/none.py::x`") == [
        "schemas/errors.py::Nothing",
        "schemas/none.py::x",
    ]
    assert "Fleet::take" in definitions_in("relying_party/dashboard/fleet.py")
    assert cited_in("see invariant I7; invariants I1, I2 and I30 hold; not I99") == {1, 2, 7, 30}
