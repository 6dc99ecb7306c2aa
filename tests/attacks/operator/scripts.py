"""A script asks by exit status, and its pipe, its disk or its option is not as its author thought."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from relying_party.__main__ import main as relying_party
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen
from tests.worlds.proven_log import run_of

ROOT = Path(__file__).resolve().parents[3]
STATUS = Kind(
    by=Attacker.NOBODY,
    goal="have a script take a bad answer for a good one",
    layer=Layer.INTEGRATION,
    needs=("bash",),
)
PATIENCE_S = 120


def _bad_device(folder: Path) -> str:
    """The command that checks the proof of a bad device; it ends with 1."""
    with ExitStack() as at_end:
        proven = run_of(at_end, folder, evil_before=True)
        proof = proven.prove()
    return _command(folder, "check", str(proof))


def _damaged_log(folder: Path) -> str:
    """The command that looks at a damaged audit log; it ends with 1."""
    with ExitStack() as at_end:
        run_of(at_end, folder)
    for bundle in (folder / "log" / "tile" / "entries").rglob("*"):
        if bundle.is_file():
            bundle.write_bytes(bundle.read_bytes()[:-1])
    return _command(folder, "fsck", str(folder / "log"))


def _command(folder: Path, name: str, of: str) -> str:
    """A command of the shell that ends with 1."""
    trust = ["--log-key", str(folder / "audit.vkey"), "--tsa-root", str(folder / "tsa.pem")]
    arguments = ["audit", name, of, *trust]
    assert relying_party(arguments) == 1
    return shlex.join([sys.executable, "-m", "relying_party", *arguments])


def _status(command: str) -> int:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        timeout=PATIENCE_S,
    ).returncode


def into_a_reader_that_ends_at_once(command: str) -> str:
    """is piped into a reader that ends at once."""
    return f"{command} | true"


def into_a_reader_that_has_found_its_word(command: str) -> str:
    """is piped into `grep -q`, which ends at the first match."""
    return f"{command} | grep -q ."


def onto_a_full_disk(command: str) -> str:
    """is written to a full disk."""
    return f"{command} > /dev/full"


def without_standard_output(command: str) -> str:
    """has no standard output at all."""
    return f"{command} >&-"


MOVES = (
    into_a_reader_that_ends_at_once,
    into_a_reader_that_has_found_its_word,
    onto_a_full_disk,
    without_standard_output,
)


@STATUS.ways("not 0", moves=MOVES)
def proof_of_a_bad_device(scene: Scene, move: Callable[[str], str]) -> Seen:
    """The output of `audit check` on the proof of a bad device"""
    status = _status(move(_bad_device(scene.folder())))
    return Seen(verdict="0" if status == 0 else "not 0", detail=f"status {status}")


@STATUS.ways("not 0", moves=MOVES)
def damaged_audit_log(scene: Scene, move: Callable[[str], str]) -> Seen:
    """The output of `audit fsck` on a damaged audit log"""
    status = _status(move(_damaged_log(scene.folder())))
    return Seen(verdict="0" if status == 0 else "not 0", detail=f"status {status}")
