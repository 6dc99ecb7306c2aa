"""The last handle in a file. Implements :class:`handle_distributor.ports.HandleStore`."""

from pathlib import Path

from runtime.durable import read_if_exists, write_durable
from schemas.errors import ConfigError
from schemas.handle import MAX_HANDLE_BYTES


class HandleFile:
    """One file, replaced as a whole. Owned by one distributor process."""

    def __init__(self, path: Path) -> None:
        """Makes the folder where it is missing.

        Raises:
            ConfigError: it cannot be made.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"state_file {path}: {error.strerror}; choose a folder this process may write") from error
        self._path = path

    def load(self) -> bytes | None:
        """See the port."""
        return read_if_exists(self._path, max_bytes=MAX_HANDLE_BYTES)

    def save(self, raw: bytes) -> None:
        """See the port."""
        write_durable(self._path, raw)
