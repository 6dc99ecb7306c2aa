"""The tool behind ``./run mutate``: which changes it makes, how it tries them, what it remembers."""

import contextlib
import gc
import textwrap
from pathlib import Path

import pytest

from tests.mutation.code_changes import differences, live_functions, replace_functions, same_code
from tests.mutation.forks import ask_fork, ask_forks
from tests.mutation.mutants import Mutant, make_mutants
from tests.mutation.reach import watch_tests
from tests.mutation.record import (
    Fared,
    digest_of,
    read_equivalent,
    read_record,
    write_draft,
    write_record,
)
from tests.mutation.targets import ROOT, modules, own_tests


def changes(source: str) -> set[tuple[str, str]]:
    """What becomes of what, in all mutants."""
    return {(each.was, each.becomes) for each in make_mutants("m.py", textwrap.dedent(source))}


def becomes(source: str) -> set[str]:
    return {after for _, after in changes(source)}


# -- which changes -----------------------------------------------------------------------------------------------------


def test_conditions_are_dropped_swapped_and_decided() -> None:
    made = becomes("""
        def f(a, b):
            if a < 3 and not b:
                return a
    """)
    assert made >= {
        *("if (a < 3):", "if (not b):", "if a < 3 or not b:", "if True:", "if False:"),
        *("if a <= 3 and not b:", "if a < 4 and not b:", "if a < 2 and not b:", "if a < 3 and b:", "return None"),
    }


def test_statements_entries_arguments_and_ends_of_slices_are_left_out() -> None:
    made = becomes("""
        TABLE = {"a": 1, "b": 2}
        def f(x, y):
            x.add(y)
            if y:
                raise ValueError(y)
            return min(x[1:y], key=y)
    """)
    assert made >= {'TABLE = {"b": 2}', 'TABLE = {"a": 1, }', "pass", "return max(x[1:y], key=y)"}
    assert made >= {"return min(x[:y], key=y)", "return min(x[1:], key=y)", "return min(x[1:y], key=None)"}


def test_words_are_not_changed() -> None:
    assert changes('''
        """A module."""
        import os
        def f(a: Literal["x"]) -> int:
            """Does it."""
            raise ValueError(f"{a - 1} is bad", "so bad")
    ''') == {('raise ValueError(f"{a - 1} is bad", "so bad")', "pass")}


def test_what_only_names_a_field_in_an_error_is_words() -> None:
    assert changes("""
        def f(a, field):
            as_uint(a, "kind", maximum=BIG)
            as_text(a, field)
            a.to_bytes(4, "big")
    """) == {
        *(('as_uint(a, "kind", maximum=BIG)', each) for each in ("pass", 'as_uint(None, "kind", maximum=BIG)')),
        ('as_uint(a, "kind", maximum=BIG)', 'as_uint("kind", maximum=BIG)'),
        ('as_uint(a, "kind", maximum=BIG)', 'as_uint(a, "kind", maximum=None)'),
        ('as_uint(a, "kind", maximum=BIG)', 'as_uint(a, "kind", )'),
        *(("as_text(a, field)", each) for each in ("pass", "as_text(None, field)", "as_text(field)")),
        *(('a.to_bytes(4, "big")', each) for each in ("pass", 'a.to_bytes(None, "big")', "a.to_bytes(4, None)")),
        *(('a.to_bytes(4, "big")', f'a.to_bytes({each}, "big")') for each in (3, 5)),
        *(('a.to_bytes(4, "big")', each) for each in ('a.to_bytes("big")', 'a.to_bytes(4, "XXbigXX")')),
    }


def test_what_only_a_type_checker_reads_is_not_changed() -> None:
    assert not changes("""
        from typing import TYPE_CHECKING, TypeAlias, TypeVar
        Table: TypeAlias = dict[str, int]
        V = TypeVar("V")
        if TYPE_CHECKING:
            SIZE = 4
    """)
    assert changes("if TYPE_CHECKING:\n    SIZE = 4\nelse:\n    SIZE = 5\n")
    assert changes("table: Table = dict[str, int]\n")


def test_the_assertion_of_equal_lengths_is_not_changed() -> None:
    assert becomes("pairs = zip(a, b, strict=True)\n") == {
        *("pairs = None", "pairs = zip(None, b, strict=True)", "pairs = zip(a, None, strict=True)"),
        *("pairs = zip(b, strict=True)", "pairs = zip(a, strict=True)"),
    }


def test_a_change_that_compiles_to_the_same_code_is_none() -> None:
    sources = [each.source for each in make_mutants("m.py", "def f(a):\n    return (a)\n")]
    assert len(sources) == len(set(sources)) == 1


def test_a_mutant_is_named_by_its_function_and_its_lines() -> None:
    source = "class C:\n    def f(self, a):\n        return a + 1\n"
    (first, *_) = [each for each in make_mutants("m.py", source) if each.becomes == "return a - 1"]
    assert (first.line, first.key) == (3, ("m.py", "C.f", "return a + 1", "return a - 1"))
    moved = [each for each in make_mutants("m.py", "\n\n" + source) if each.becomes == "return a - 1"]
    assert (moved[0].line, moved[0].key) == (5, first.key)
    assert first.source == source.replace("+", "-")


# -- how they are tried ------------------------------------------------------------------------------------------------


def test_only_the_function_that_differs_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "m.py")
    source = "def f(a):\n    return [each + 1 for each in a]\n\ndef g():\n    return 2\n"
    original = compile(source, path, "exec")
    names: dict[str, object] = {}
    exec(original, names)  # noqa: S102 this very text
    changed = compile(source.replace("each + 1", "each - 1"), path, "exec")
    assert not same_code(original, changed)
    assert [each.before.co_name for each in differences(original, changed) if each.before] == ["f"]
    assert replace_functions(live_functions({path})[path], list(differences(original, changed)))
    function = names["f"]
    assert callable(function)
    assert function([5]) == [4]


def test_frozen_functions_are_found_too() -> None:
    gc.freeze()
    path = own_tests.__code__.co_filename
    assert own_tests in live_functions({path})[path]
    gc.freeze()  # as in every run of tests


def test_a_change_outside_of_functions_needs_an_import() -> None:
    first, second = compile("A = 1", "m.py", "exec"), compile("A = 2", "m.py", "exec")
    assert not replace_functions([], list(differences(first, second)))
    assert same_code(first, compile("\n\nA = 1", "m.py", "exec"))


def test_forks_answer_and_one_that_goes_on_for_ever_dies() -> None:
    def forever(task: int) -> int:
        while task:
            pass
        return 7

    answers = {each.task: (each.value, each.died) for each in ask_forks([0, 1], 2, forever, lambda _: 1)}
    assert answers == {0: (7, False), 1: (None, True)}
    assert ask_fork(lambda: "answer") == "answer"


def test_lines_are_noted_by_the_tests_that_run_them() -> None:
    def test() -> bool:
        return own_tests("x.py", ()) == ()

    path = own_tests.__code__.co_filename
    reached = watch_tests([lambda: True, test], {path})
    assert reached is not None
    assert set(reached.tests.values().__iter__().__next__()) == {1}
    assert watch_tests([lambda: False], {path}) is None


def test_a_test_that_recurses_too_deeply_for_a_trace_may_run_any_line_that_another_test_runs() -> None:
    def shallow() -> bool:
        return own_tests("x.py", ()) == ()

    def recurse() -> None:
        recurse()

    def deep() -> bool:
        with contextlib.suppress(RecursionError):
            recurse()
        return shallow()

    code = own_tests.__code__
    reached = watch_tests([shallow, deep, lambda: True], {code.co_filename})
    assert reached is not None
    assert reached.by(code.co_filename, range(code.co_firstlineno, code.co_firstlineno + 9)) == {0, 1}
    assert reached.by(code.co_filename, range(1, 2)) == set()


# -- what is remembered ------------------------------------------------------------------------------------------------


def test_a_digest_is_of_code_and_not_of_words() -> None:
    source = 'def f(a):\n    """Does it."""\n    return a + 1 or g(f"{a} is bad", "two words", "key")\n'
    same = [
        source.replace("Does it", "Does it well"),
        source.replace('"key")', '"key")  # so'),
        source.replace("is bad", "is no good"),
        source.replace("two words", "three good words"),
        "# first\n\n" + source,
    ]
    assert {digest_of(each) for each in same} == {digest_of(source)}
    other = [source.replace("+ 1", "+ 2"), source.replace("key", "kex"), source.replace("def f", "def h")]
    assert digest_of(source) not in {digest_of(each) for each in other}


def test_a_digest_is_the_same_under_every_python() -> None:
    source = (
        'class C:\n    x: int | None = 1\n    def f(self, *b, c=2): return f"{self.x:>3}" if b else [y for y in b]\n'
    )
    assert digest_of("import a\n" + source) == "511fe78a4d9397b2"


def test_a_record_and_a_draft_are_read_back(tmp_path: Path) -> None:
    fared = Fared(digest="ab", mutants=3, noticed=2, equivalent=1)
    write_record({"b.py": fared, "a.py": fared}, tmp_path / "record.json")
    assert read_record(tmp_path / "record.json") == {"a.py": fared, "b.py": fared}
    assert read_record(tmp_path / "absent.json") == {}
    texts = ("plain", "with 'single'", "two\nlines 'of' \"it\"", "both ' and \"", "back\\slash", "''' and\nlines")
    mutants = [
        Mutant(module="m.py", function="f", line=1, end_line=1, was=text, becomes=text + "!", source="")
        for text in texts
    ]
    write_draft(mutants, tmp_path / "draft" / "survivors.toml")
    assert read_equivalent(tmp_path / "draft" / "survivors.toml") == {mutant.key: "" for mutant in mutants}


def test_every_module_of_the_list_has_tests_that_are_there() -> None:
    assert "verifier_worker/core/step.py" in modules()
    for path, tests in modules().items():
        assert (ROOT / path).is_file()
        assert tests
        assert all((ROOT / each).exists() for each in tests)


@pytest.mark.parametrize("module", sorted(modules()))
def test_every_module_of_the_list_parses(module: str) -> None:
    assert len(digest_of((ROOT / module).read_text(encoding="utf-8"))) == 16
