"""Computes digests of the files of Debian packages, installed below a root directory or in ``.deb`` files.

A ``.deb`` is an ``ar`` archive whose member ``data.tar.*`` holds the files (deb(5)). The compression must be one that
Python's ``tarfile`` reads: none, gz, xz, bz2. Nothing is unpacked and no maintainer script is run, so files that
scripts generate are missing. Below a root directory, files are measured with their current content.
"""

import functools
import hashlib
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from endorser.core.working_set import plain_path
from runtime.progress import Progress
from schemas.errors import ConfigError

_AR_MAGIC: Final = b"!<arch>\n"
_AR_HEAD: Final = 60
_CHUNK: Final = 1 << 20


def installed_files(root: Path, progress: Progress) -> dict[bytes, str]:
    """SHA-256 of every regular file that dpkg has installed below ``root``, with its path there.

    Raises:
        ConfigError: there is no dpkg database, or none of its files can be read.
    """
    lists = sorted((root / "var/lib/dpkg/info").glob("*.list"))
    if not lists:
        raise ConfigError(f"--root {root}: no packages in var/lib/dpkg/info")
    paths = sorted({line for each in lists for line in each.read_text("utf-8", "surrogateescape").split("\n") if line})
    files: dict[bytes, str] = {}
    for number, path in enumerate(paths):
        progress.report(number, len(paths))
        digest = _digest_inside(root, path)
        if digest is not None:
            files.setdefault(digest, plain_path(path))
    if not files:
        raise ConfigError(f"--root {root}: none of {len(paths)} installed files can be read")
    return files


def _digest_inside(root: Path, path: str) -> bytes | None:
    """SHA-256 of a regular file; None if it is missing, unreadable, of another type, or outside of ``root``."""
    place = root / path.lstrip("/")
    if not _is_inside(root, place.parent):
        return None
    try:
        if not stat.S_ISREG(place.lstat().st_mode):
            return None
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None


@functools.lru_cache(maxsize=65_536)
def _is_inside(root: Path, directory: Path) -> bool:
    """Whether the directory is still below ``root`` after following links."""
    return directory.resolve().is_relative_to(root.resolve())


def deb_files(path: Path, progress: Progress) -> dict[bytes, str]:
    """SHA-256 of every regular file in a ``.deb``, with the path it will have.

    Raises:
        ConfigError: it cannot be read, is not a ``.deb``, or has a compression that Python cannot read.
    """
    files: dict[bytes, str] = {}
    try:
        for number, (name, digest) in enumerate(_members(path)):
            progress.report(number)
            files.setdefault(digest, plain_path(name))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ConfigError(f"{path}: not a Debian package that can be read ({error})") from error
    return files


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise ConfigError(f"{path}: not a Debian package")
        while len(head := file.read(_AR_HEAD)) == _AR_HEAD:
            name, size = head[:16].decode("ascii", "replace").strip().rstrip("/"), int(head[48:58])
            if size < 0:  # seeking by it would read this header again, in an endless loop
                raise ConfigError(f"{path}: not a Debian package: a member of {size} bytes")
            if not name.startswith("data.tar"):
                file.seek(size + size % 2, 1)
                continue
            kind = name.removeprefix("data.tar").lstrip(".")
            if kind not in {"", "gz", "xz", "bz2"}:
                raise ConfigError(f"{path}: {name}: Python cannot read {kind}; repack it, or use --root of a machine")
            with tarfile.open(fileobj=file, mode=f"r|{kind}") as archive:  # type: ignore[call-overload]  # of a text
                for member in archive:
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is not None:
                        yield "/" + member.name.removeprefix("./").lstrip("/"), _digest(content.read)
            return
    raise ConfigError(f"{path}: no data.tar in it")


def _digest(read: Callable[[int], bytes]) -> bytes:
    state = hashlib.sha256()
    while chunk := read(_CHUNK):
        state.update(chunk)
    return state.digest()
