"""Every way in which a command can end has its exit status, in one place."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.command_line import exit_status
from schemas.errors import ConfigError, PeerError
from schemas.reasons import Reason


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ConfigError("mqtt.host: is empty"), 2, "configuration error: mqtt.host: is empty\n"),
        (PeerError(Reason.MALFORMED, "handle: cut short"), 1, "error: malformed: handle: cut short\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out.bin"),
            1,
            "error: no space left on the disk (out.bin); free some, then try again\n",
        ),
    ],
)
def test_a_failure_is_a_line_and_a_status(
    error: BaseException, status: int, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(raising(error)) == status
    assert capfd.readouterr().err == line


@pytest.mark.parametrize("returned", [None, 0, 1, 7])
def test_the_status_of_a_command_is_its_own(returned: int | None) -> None:
    assert exit_status(lambda: returned) == (returned or 0)


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EACCES, "Permission denied")])
def test_a_bug_is_seen_whole(error: Exception) -> None:
    with pytest.raises(type(error)):
        exit_status(raising(error))


PROGRAM = (
    "import sys; from runtime.command_line import exit_status; sys.exit(exit_status(lambda: print('x' * 200_000)))"
)


def test_a_reader_that_closed_the_pipe_makes_no_success() -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


STREAM = """
import sys, types
from runtime.command_line import Program

def add_to(parsers):
    parsers.add_parser("go").set_defaults(run=lambda _: print("x" * 200_000), streams=%s)

sys.exit(Program(name="p", description="d", commands=[types.SimpleNamespace(add_to=add_to)]).main(["go"]))
"""


@pytest.mark.parametrize(("streams", "status"), [(True, 0), (False, 141)])
def test_a_reader_that_has_seen_enough_ends_a_stream_without_a_failure(streams: bool, status: int) -> None:
    command = [sys.executable, "-c", STREAM % streams]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == status


def test_a_full_disk_behind_standard_output_is_a_failure_with_a_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"error: no space left on the disk; free some, then try again\n"
