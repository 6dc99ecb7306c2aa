"""The real files of this machine: the devices measure them, the endorser signs their digests as reference values."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.demo.problem import DemoError

FOLDERS: Final = (Path("/usr/bin"), Path("/usr/sbin"), Path("/usr/lib"))
MAX_FILES: Final = 1200  # their reference values fit into one message
MAX_FILE_BYTES: Final = 512 * 1024
MIN_FILES: Final = 50
# The agent as its Debian package installs it. A policy requires it in the list of each device.
AGENT_SOURCE: Final = Path(__file__).resolve().parents[1] / "debian" / "attester-agent"
AGENT_PATH: Final = "/usr/bin/attester-agent"


def choose_files() -> tuple[Path, ...]:
    """Regular, readable, not too large files; each call returns the same files in the same order.

    Raises:
        DemoError: this machine has too few.
    """
    chosen: list[Path] = []
    for folder in FOLDERS:
        for path in _files_in(folder):
            chosen.append(path)
            if len(chosen) == MAX_FILES:
                return tuple(chosen)
    if len(chosen) < MIN_FILES:
        raise DemoError(f"only {len(chosen)} files to measure in {', '.join(map(str, FOLDERS))}")
    return tuple(chosen)


def digests_of(paths: tuple[Path, ...]) -> dict[bytes, str]:
    """SHA-256 of each file and of the agent, with its path; files that vanished are left out."""
    digests = {hashlib.sha256(AGENT_SOURCE.read_bytes()).digest(): AGENT_PATH}
    for path in paths:
        try:
            with path.open("rb") as file:
                digests[hashlib.file_digest(file, "sha256").digest()] = str(path)
        except OSError:
            continue
    return digests


def _files_in(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        try:
            about = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISREG(about.st_mode) and about.st_size <= MAX_FILE_BYTES and os.access(entry.path, os.R_OK):
            yield Path(entry.path)
