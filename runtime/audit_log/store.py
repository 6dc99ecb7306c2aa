"""Where a tiled log lies: named objects, in a folder of this machine or in an S3-compatible store.

Names are relative paths of ASCII with ``/`` between their levels. A reader sees an object whole, old or new, or not at
all; what :meth:`AuditLogStore.write` returned from survives a power cut.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from typing_extensions import override

from runtime.durable import read_if_exists, sync_folder, write_durable
from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason

_MAX_OBJECT_BYTES: Final = 64 * 1024 * 1024
_HIDDEN: Final = "."  # what a write that was cut short has left


class AuditLogStore(Protocol):
    """Every method may raise ``WorldError`` (``store-unavailable``) and can be called again. One writer at a time."""

    @property
    def name(self) -> str:
        """For people: the folder, or the URL."""

    def read(self, path: str, *, max_bytes: int) -> bytes | None:
        """An object's content; None when there is none."""

    def write(self, path: str, content: bytes) -> None:
        """Makes or replaces an object, durably."""

    def swap(self, path: str, content: bytes, old: bytes | None) -> bool:
        """As :meth:`write`, if the object's content is ``old`` (None: if there is none); False, unchanged, if not."""

    def list(self, prefix: str) -> Iterator[str]:
        """Names of the objects directly below ``prefix``, without it; in no order."""

    def remove(self, path: str) -> None:
        """Forgets an object; nothing happens when there is none."""


def create(store: AuditLogStore, path: str, content: bytes) -> None:
    """Makes an object that never changes: one that is there already has this content, or nothing is written.

    Raises:
        ConfigError: another writer has made it.
        WorldError: ``store-unavailable``.
    """
    if store.swap(path, content, None):
        return
    if store.read(path, max_bytes=_MAX_OBJECT_BYTES) != content:
        raise ConfigError(f"audit_log: {store.name}/{path}: another writer has made it, with other content")
    store.write(path, content)  # whoever made it may have been killed before its fsync


class FolderStore(AuditLogStore):
    """A folder: an object is a file, replaced by renaming. Folders are fsynced when a name in them changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[Path] = set()  # folders known to be there, durably

    @property
    @override
    def name(self) -> str:
        return str(self._folder)

    @override
    def read(self, path: str, *, max_bytes: int) -> bytes | None:
        try:
            return read_if_exists(self._folder / path, max_bytes=max_bytes)
        except WorldError:
            if (self._folder / path).parent.is_file():  # the folder of a tile that has become full
                return None
            raise

    @override
    def write(self, path: str, content: bytes) -> None:
        file = self._folder / path
        self._make(file.parent)
        write_durable(file, content)

    @override
    def swap(self, path: str, content: bytes, old: bytes | None) -> bool:
        if self.read(path, max_bytes=_MAX_OBJECT_BYTES) != old:
            return False
        self.write(path, content)
        return True

    @override
    def list(self, prefix: str) -> Iterator[str]:
        try:
            found = [entry.name for entry in os.scandir(self._folder / prefix) if entry.is_file(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return iter(())
        except OSError as error:
            raise WorldError(Reason.STORE_UNAVAILABLE, f"{self._folder / prefix}: {error.strerror}") from error
        return iter([name for name in found if not name.startswith(_HIDDEN)])

    @override
    def remove(self, path: str) -> None:
        file = self._folder / path
        try:
            file.unlink(missing_ok=True)
            if file.parent.suffix == ".p":
                self._made.discard(file.parent)
                file.parent.rmdir()
        except NotADirectoryError:
            pass
        except OSError as error:
            if file.parent.suffix == ".p" and not file.exists():
                return  # not the last one in it
            raise WorldError(Reason.STORE_UNAVAILABLE, f"{file}: {error.strerror}") from error

    def _make(self, folder: Path) -> None:
        """Makes a folder durably; whoever made one that is there may have been killed before its fsync."""
        chain = []
        while folder not in self._made and folder != self._folder:
            chain.append(folder)
            folder = folder.parent
        try:
            if not self._folder.is_dir():
                self._folder.mkdir(parents=True)
                sync_folder(self._folder.parent)
            for each in reversed(chain):
                each.mkdir(exist_ok=True)
                sync_folder(each.parent)
                self._made.add(each)
        except OSError as error:
            raise WorldError(Reason.STORE_UNAVAILABLE, f"{folder}: {error.strerror}") from error


def check_folder(path: Path) -> None:
    """Checks that a log could be kept in this folder, and changes nothing.

    Raises:
        ConfigError: a file is there: the log of an earlier version.
    """
    if path.is_file():
        raise ConfigError(
            f"audit_log: {path}: a single file, the audit log of an earlier version; move it away (it stays readable), "
            "a new log begins with all that is in force"
        )
