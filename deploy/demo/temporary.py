"""The demo's temporary folder: removed when the demo ends or, if the demo was killed, when the next one starts.

A marker file names the process that owns a folder, and the owner keeps the marker locked. The lock also works between
containers that share the folder of temporary files; process numbers do not.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MARKER: Final = ".attestream-demo"
_PREFIX: Final = "attestream-"


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder until the block ends. First removes the folders of the same user's killed demos."""
    remove_stale(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with (folder / MARKER).open("w", encoding="ascii") as marker:
            fcntl.flock(marker, fcntl.LOCK_EX)
            marker.write(f"{os.getpid()}\n")
            marker.flush()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale(parent: Path) -> list[Path]:
    """Removes the folders of dead demos; returns them."""
    stale = []
    for folder in sorted(parent.glob(_PREFIX + "*")):
        with contextlib.suppress(OSError, ValueError):  # not ours, not whole, or already gone: leave it alone
            if not folder.is_symlink() and folder.stat().st_uid == os.geteuid() and _is_abandoned(folder / MARKER):
                shutil.rmtree(folder, ignore_errors=True)
                stale.append(folder)
    return stale


def _is_abandoned(marker: Path) -> bool:
    if marker.is_symlink() or not marker.is_file():
        return False
    with marker.open(encoding="ascii") as content:
        fcntl.flock(content, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return not Path("/proc", str(int(content.read()))).exists()
