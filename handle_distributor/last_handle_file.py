"""Keeps the last handle in a file. Implements :class:`handle_distributor.ports.HandleStore`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.durable import read_if_exists, sole_user, write_durable
from schemas.errors import ConfigError
from schemas.messages.handle import MAX_HANDLE_BYTES


class LastHandleFile:
    """One file, replaced as a whole. Owned by one distributor process."""

    def __init__(self, path: Path) -> None:
        """Reads and writes nothing yet."""
        self._path = path

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Makes the folder if it is missing, and locks the file: a chain belongs to one process.

        Raises:
            ConfigError: the folder cannot be made, or another process uses the file.
        """
        path = self._path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"{error.strerror}; choose a folder this process may write"
            raise ConfigError(f"state_file: {path}: {problem}") from error
        with sole_user(path, "state_file"):
            yield

    def load(self) -> bytes | None:
        """See the port."""
        return read_if_exists(self._path, max_bytes=MAX_HANDLE_BYTES)

    def save(self, raw: bytes) -> None:
        """See the port."""
        write_durable(self._path, raw)
