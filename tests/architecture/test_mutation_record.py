"""The code that decides is as it was when it was last mutated, and every mutant that survives has a reason."""

from collections import Counter

from tests.mutation.record import digest_of, read_equivalent, read_record
from tests.mutation.targets import NOT_YET, ROOT, modules

RECORD, EQUIVALENT = read_record(), read_equivalent()


def is_recorded(path: str) -> bool:
    return path in RECORD and RECORD[path].digest == digest_of((ROOT / path).read_text(encoding="utf-8"))


def test_no_module_has_changed_since_its_last_mutation_run() -> None:
    changed = [path for path in modules() if path not in NOT_YET and not is_recorded(path)]
    assert not changed, f"run ./run mutate {' '.join(changed)}"


def test_a_module_that_has_had_its_run_leaves_the_list_of_those_without_one() -> None:
    assert sorted(NOT_YET) == list(NOT_YET)
    assert set(NOT_YET) <= modules().keys()
    assert [path for path in NOT_YET if is_recorded(path)] == []


def test_the_record_is_of_modules_that_are_there_and_adds_up() -> None:
    assert RECORD.keys() <= modules().keys()
    for path, fared in RECORD.items():
        assert fared.mutants == fared.noticed + fared.equivalent, path


def test_every_equivalent_mutant_is_of_a_module_of_the_list_and_has_a_reason() -> None:
    for (module, _, was, becomes), why in EQUIVALENT.items():
        assert module in modules(), module
        assert why.strip().count(" ") > 1, f"{module}: why is {was!r} -> {becomes!r} not to be noticed?"


def test_a_recorded_module_has_the_entries_of_its_equivalent_mutants() -> None:
    """A mutant may stand in several lines, under one entry."""
    explained = Counter(module for module, _, _, _ in EQUIVALENT)
    for path, fared in RECORD.items():
        if is_recorded(path):
            assert bool(fared.equivalent) == bool(explained[path]), path
