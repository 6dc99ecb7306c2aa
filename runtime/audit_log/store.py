"""Stores an audit log as named objects, in a folder or in an S3-compatible store.

Names are relative ASCII paths with ``/`` between their levels. A reader sees the whole old object, the whole new one,
or no object. When :meth:`AuditLogStore.write` has returned, the object survives a power cut.
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
_HIDDEN: Final = "."  # an interrupted write leaves such files


class AuditLogStore(Protocol):
    """The objects of one audit log. One writer at a time.

    Every method may raise ``WorldError`` (``store-unavailable``), and can then be called again.
    """

    @property
    def name(self) -> str:
        """The folder or the URL, for messages."""

    def read(self, path: str, *, max_bytes: int) -> bytes | None:
        """An object's content; None if the object does not exist."""

    def write(self, path: str, content: bytes) -> None:
        """Makes or replaces an object durably."""

    def swap(self, path: str, content: bytes, old: bytes | None) -> bool:
        """Writes only if the current content is ``old`` (None: if there is no object); returns whether it did."""

    def list(self, prefix: str) -> Iterator[str]:
        """The names of the objects directly below ``prefix``, without the prefix, in any order."""

    def remove(self, path: str) -> None:
        """Removes an object, if it exists."""


def create(store: AuditLogStore, path: str, content: bytes) -> None:
    """Makes an object that never changes. If it exists, it must have this content already.

    Raises:
        ConfigError: another writer has made it with other content.
        WorldError: ``store-unavailable``.
    """
    if store.swap(path, content, None):
        return
    if store.read(path, max_bytes=_MAX_OBJECT_BYTES) != content:
        raise ConfigError(f"audit_log: {store.name}/{path}: another writer has made it, with other content")
    store.write(path, content)  # its maker may have been killed before the fsync


class FolderStore(AuditLogStore):
    """A folder. An object is a file, replaced by renaming. A folder is fsynced when a name in it changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[Path] = set()  # folders that are known to exist durably

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
                return  # other files are left in the folder
            raise WorldError(Reason.STORE_UNAVAILABLE, f"{file}: {error.strerror}") from error

    def _make(self, folder: Path) -> None:
        """Makes a folder durably. Fsyncs existing ones too: their maker may have been killed before its fsync."""
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
    """Checks that an audit log can be kept in this folder; changes nothing.

    Raises:
        ConfigError: it is a file: the audit log of an earlier version.
    """
    if path.is_file():
        raise ConfigError(
            f"audit_log: {path}: a single file, the audit log of an earlier version; move it away (it stays readable), "
            "a new audit log begins with everything that is in force"
        )
