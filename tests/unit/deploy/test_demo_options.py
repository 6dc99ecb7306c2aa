"""The demo's options, its summary, and its removal of the folders of dead demos."""

import fcntl
import os
from pathlib import Path

import pytest

from deploy.demo.layout import RunDirectory
from deploy.demo.options import MIN_SECONDS, parse
from deploy.demo.problem import DemoError
from deploy.demo.scenario.outcomes import Expectation
from deploy.demo.scenario.plan import Role, devices_for_everything, plan
from deploy.demo.scenario.report import Outcome, summary, write_report
from deploy.demo.temporary import MARKER, remove_stale, temporary_folder

NOBODY = 2**22 + 1  # above the largest number that Linux gives to a process
CODES = "quote-signature-invalid"


def outcome(*expectations: Expectation, attesters: int = 4) -> Outcome:
    return Outcome(
        plan=plan(attesters, MIN_SECONDS),
        devices=(),
        histories={},
        finals={},
        expectations=expectations,
        counts={},
        refused={},
        restarts={},
        problem="",
    )


def abandoned(parent: Path, name: str, owner: str) -> Path:
    folder = parent / name
    folder.mkdir()
    (folder / MARKER).write_text(owner, encoding="ascii")
    return folder


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--port", value) for value in ("0", "-1", "65536")),
        *(("--seconds", value) for value in ("nan", "inf", "39")),
        *(("--attesters", value) for value in ("0", "65")),
        *(("--keep", value) for value in ("{there}", "{there}/below", "{full}")),
        *(("--report", value) for value in ("{full}", "{full}/missing/report.json", "{there}/report.json")),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "file"
    there.touch()
    with pytest.raises(SystemExit) as caught:
        parse([option, value.format(there=there, full=tmp_path)])
    assert caught.value.code == 2
    assert option in capsys.readouterr().err.splitlines()[-1]


def test_looking_whether_a_report_can_be_written_leaves_it_as_it_is(tmp_path: Path) -> None:
    old, new, keep = tmp_path / "old.json", tmp_path / "new.json", tmp_path / "a" / "b"
    old.write_text("{}", encoding="ascii")
    assert parse(["--report", str(old)]).report == old
    assert parse(["--report", str(new), "--keep", str(keep), "--port", "65535"]).keep == keep
    assert old.read_text(encoding="ascii") == "{}"
    assert not new.exists()
    assert list(keep.iterdir()) == []


def test_the_help_says_how_many_devices_the_scenario_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert f"the whole scenario needs {devices_for_everything()}" in " ".join(capsys.readouterr().out.split())


def test_a_report_that_can_no_longer_be_written_is_explained(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, tmp_path)
    with pytest.raises(DemoError, match="No such file"):
        write_report(outcome(), tmp_path / "gone" / "report.json", run, 1883, kept=False)


def test_the_summary_fits_eighty_columns_and_tells_paths_below_the_run(tmp_path: Path) -> None:
    def expectation(expected: str, seen: str, *, met: bool) -> Expectation:
        return Expectation(device="device-64", role=Role.TAMPERED, expected=expected, seen=seen, met=met)

    lines = summary(
        outcome(
            expectation(f"notices {tmp_path}/devices/64/backdoor", "file-unexpected", met=True),
            expectation("crossing is refused", f"no ueid-mismatch: evidence-replayed, {CODES}, {CODES}", met=False),
        ),
        tmp_path,
        interrupted=False,
    )
    assert all(len(line) <= 80 for line in lines)
    assert "notices devices/64/backdoor" in lines[1]
    assert lines[-1] == "1 of 2 expectations were missed."


@pytest.mark.parametrize("attesters", [1, 3])
def test_the_summary_ends_with_the_roles_that_were_left_out(attesters: int, tmp_path: Path) -> None:
    last = summary(outcome(attesters=attesters), tmp_path, interrupted=False)[-1]
    assert last.startswith("roles left out: ")
    assert "replayed" in last


def test_only_the_folders_of_dead_demos_are_removed(tmp_path: Path) -> None:
    dead = abandoned(tmp_path, "attestream-dead", f"{NOBODY}\n")
    kept = [
        abandoned(tmp_path, "attestream-alive", f"{os.getpid()}\n"),
        abandoned(tmp_path, "attestream-odd", "nobody\n"),
        abandoned(tmp_path, "other", f"{NOBODY}\n"),
        abandoned(tmp_path, "attestream-locked", f"{NOBODY}\n"),
        tmp_path / "attestream-unmarked",
    ]
    kept[-1].mkdir()
    with (kept[-2] / MARKER).open() as elsewhere:  # the demo of another container: we cannot see its process
        fcntl.flock(elsewhere, fcntl.LOCK_EX)
        assert remove_stale(tmp_path) == [dead]
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_the_temporary_folder_is_marked_and_goes_with_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with temporary_folder() as folder:
        assert (folder / MARKER).is_file()
        assert remove_stale(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
