"""Progress: on a terminal, after a while, gone at the end."""

import io

import pytest
from typing_extensions import override

from runtime import progress
from runtime.progress import Progress, line_of


class Terminal(io.StringIO):
    @override
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_line_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 3.0, 3.1, 4.0])
    monkeypatch.setattr(progress, "monotonic_s", lambda: next(times))
    stream = Terminal()
    with Progress("files", stream) as shown:
        shown.report(1, 10)
        assert stream.getvalue() == "", "what is short stays quiet"
        shown.report(5, 10)
        shown.report(6, 10)
        shown.report(7, 10)
    written = stream.getvalue()
    assert "50%  5 of 10 files" in written
    assert "6 of 10" not in written
    assert written.endswith(" \r")
    assert "\n" not in written


def test_scripts_and_logs_never_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 100.0])
    monkeypatch.setattr(progress, "monotonic_s", lambda: next(times))
    stream = io.StringIO()
    with Progress("files", stream) as shown:
        shown.report(5, 10)
    assert stream.getvalue() == ""


def test_without_an_end_it_counts() -> None:
    assert line_of("entries", 5, None) == "5 entries …"
    assert line_of("entries", 20, 10).startswith("[" + "#" * 24 + "] 100%")
