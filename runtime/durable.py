"""Files that survive a power cut: a reader sees the old content or the new, never a mixture, never nothing."""

import os
from pathlib import Path

from schemas.errors import WorldError
from schemas.reasons import Reason


def write_durable(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replaces ``path``: write beside it, fsync, rename, fsync the folder. When it returns, the content is on disk.

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
    """Fsync of a folder, so that a rename or a new file in it is on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_if_exists(path: Path, *, max_bytes: int) -> bytes | None:
    """The content of ``path``, or None when there is no such file.

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
