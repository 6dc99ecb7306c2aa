"""The file with an endorser's last statement of what is current: beside its key, ``endorser.statement``.

The file is the endorser's memory of what is in force. `endorser publish` and `endorser serve` may use it at the same
time: each locks it while it makes the next statement.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from endorser.core.current import NextStatement
from runtime import clock
from runtime.durable import read_if_exists, write_durable
from schemas.codecs import cose
from schemas.errors import ConfigError, PeerError
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.messages.trust_statement import TrustStatement, sign_statement, verify_statement

LIFETIME_S: Final = 31 * 86_400  # as long as a policy may rely on a statement


class StatementFile:
    """One endorser's statements, in one file."""

    def __init__(self, path: Path, key: EllipticCurvePrivateKey, issuer: str) -> None:
        """Reads nothing yet.

        Args:
            path: of the file; it need not exist.
            key: signs the statements.
            issuer: the endorser's name.
        """
        self._path, self._key, self._issuer = path, key, issuer

    def last(self) -> tuple[TrustStatement, bytes] | None:
        """The last statement, and its signed bytes; None before the first.

        Raises:
            ConfigError: the file holds something else, or another key signed it.
            WorldError: ``store-unavailable``.
        """
        raw = read_if_exists(self._path, max_bytes=MAX_REFERENCE_VALUES_BYTES)
        if raw is None:
            return None
        public = self._key.public_key()
        try:
            return verify_statement(raw, {cose.key_id(public): public}), raw
        except PeerError as error:
            raise ConfigError(f"{self._path}: not a statement of this key ({error.detail}); put it aside") from error

    @contextmanager
    def next(self) -> Iterator[NextStatement]:
        """The next statement, to be changed; it is signed and written at the end.

        Raises:
            ConfigError: as :meth:`last`; the folder cannot be written to.
            WorldError: ``store-unavailable``.
        """
        with self._locked():
            last = self.last()
            changing = NextStatement(last[0] if last is not None else None, clock.utc_s())
            yield changing
            write_durable(self._path, sign_statement(changing.made(self._issuer, LIFETIME_S), self._key))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Waits until no other process makes a statement."""
        lock = self._path.with_name(f".{self._path.name}.lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror} ({lock})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
