"""Writes files that survive a power cut: a reader sees the old content or the new one, never a mixture or nothing."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason


def write_durable(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replaces ``path``: writes a file beside it, fsyncs and renames it, and fsyncs the folder.

    When it returns, the content is on disk.

    Raises:
        WorldError: ``store-unavailable`` naming the path and the operating system's reason.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise WorldError(Reason.STORE_UNAVAILABLE, f"{path}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Fsyncs a folder, so that a rename or a new file in it is on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_if_exists(path: Path, *, max_bytes: int) -> bytes | None:
    """The content of ``path``; None if there is no such file.

    Raises:
        WorldError: ``store-unavailable`` when it cannot be read or is larger than ``max_bytes``.
    """
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WorldError(Reason.STORE_UNAVAILABLE, f"{path}: {error.strerror}") from error
    if len(content) > max_bytes:
        raise WorldError(Reason.STORE_UNAVAILABLE, f"{path}: larger than {max_bytes} bytes")
    return content


@contextmanager
def sole_user(path: Path, field: str) -> Iterator[None]:
    """Locks ``path`` for this process; the kernel releases the lock when the process ends.

    The locked file is ``.NAME.lock`` beside it, which stays, because ``path`` itself may be replaced by another file.

    Args:
        path: the file that only one process may use.
        field: the setting that names it.

    Raises:
        ConfigError: another process has locked it, or the folder cannot be written to.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{field}: {path}: {error.strerror} ({lock})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{field}: {path}: in use by another process") from error
        except OSError as error:
            raise ConfigError(f"{field}: {path}: cannot be locked ({error.strerror})") from error
        yield
    finally:
        os.close(descriptor)


def check_folder_of(path: Path, field: str, *, made_if_missing: bool = False) -> None:
    """Checks that ``path`` can be written; changes nothing.

    Args:
        path: a file that need not exist.
        field: the setting or option that names it.
        made_if_missing: its folder need not exist either, if this process could make it.

    Raises:
        ConfigError: the folder is missing, is not a folder, or may not be written to; or ``path`` is a folder.
    """
    folder = path.absolute().parent
    while made_if_missing and not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "there is no such folder"
        raise ConfigError(f"{field}: {path}: {folder}: {problem}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{field}: {path}: {folder}: this process may not write there")
    if path.is_dir():
        raise ConfigError(f"{field}: {path}: is a folder, expected a file")


def check_readable(path: Path, field: str) -> None:
    """Checks that ``path`` is a file that can be opened for reading.

    Raises:
        ConfigError: it is not a file, or this process may not read it.
    """
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigError(f"{field}: {path}: {error.strerror}") from error
