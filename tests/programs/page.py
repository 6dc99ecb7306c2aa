"""A page of the documentation, followed to the letter: its bash blocks, one after the other, in one shell."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.programs.mosquitto import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE_S: Final = 1800.0  # for a page that hangs; no outcome depends on it
_BLOCKS: Final = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK: Final = "=== block "


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What came of it: where, the exit status, what each block printed, and the logs that were written beside it."""

    folder: Path
    status: int
    printed: tuple[str, ...]
    logs: str

    @property
    def everything(self) -> str:
        """For the message of a test that fails."""
        return "\n".join((*self.printed, self.logs))


def blocks_of(page: str) -> list[str]:
    """The bash blocks of ``docs/PAGE``."""
    return _BLOCKS.findall((ROOT / "docs" / page).read_text("utf-8"))


def follow(blocks: list[str], folder: Path, *, seconds: float = PAGE_S) -> Followed:
    """Runs blocks in a new folder, on free ports, and ends what they started in the background.

    Raises:
        TimeoutExpired: the blocks took longer than ``seconds``.
    """
    script = "set -euo pipefail\n" + "\n".join(f"echo '{_MARK}'\n{block}" for block in blocks)
    # A path of a UNIX socket is at most 107 bytes: a short folder, as a person would have.
    folder = folder if len(str(folder)) < 80 else Path(os.path.realpath(folder.parent))
    with (folder / "output").open("wb") as output_file:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env={
                **os.environ,
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "PYTHONPATH": str(ROOT),
                "MQTT_PORT": str(free_port()),
                "TSA_PORT": str(free_port()),
                "TSA2_PORT": str(free_port()),
                "METRICS_PORT": str(free_port()),
            },
            stdin=subprocess.DEVNULL,
            stdout=output_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        process.wait(timeout=seconds)  # not for the end of its output: what runs in the background holds that open
    finally:
        _end_group(process.pid)
    _, *printed = (folder / "output").read_text().split(_MARK)
    logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
    return Followed(folder=folder, status=process.returncode, printed=tuple(printed), logs=logs)


def _end_group(group: int) -> None:
    """Ends what the page started in the background, by the id of its process group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
