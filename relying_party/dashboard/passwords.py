"""The password file: a line for each person, ``NAME:ROLE:HASH``; the hash is Argon2id in PHC form (RFC 9106).

The file is read again whenever it has changed. A person who was removed, or whose password was changed, is logged out
at the next request. An unknown name takes as much time as a wrong password.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from relying_party.dashboard.access import Role
from runtime import clock
from runtime.durable import write_durable
from runtime.keys import read_file
from schemas.errors import ConfigError

MIN_PASSWORD_CHARACTERS: Final = 10
MAX_PASSWORD_BYTES: Final = 1024
MAX_FILE_BYTES: Final = 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
# RFC 9106, 4, second recommended option: for memory-constrained environments.
_ITERATIONS, _LANES, _MEMORY_KIB, _LENGTH, _SALT_BYTES = 3, 4, 64 * 1024, 32, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who may log in.

    Attributes:
        name: of the person.
        role: decides the pages that they may see.
        password_hash: PHC text; never shown.
    """

    name: str
    role: Role
    password_hash: str

    @property
    def version(self) -> str:
        """Changes with the password and the role; a session with another version has ended."""
        return hashlib.sha256(f"{self.role}:{self.password_hash}".encode()).hexdigest()[:16]


class Passwords:
    """The users in one file. Owned by the event loop's thread; only :meth:`matches` may run in another."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            ConfigError: it is missing or invalid.
        """
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._users: dict[str, User] = {}
        self._decoy_hash: Final = hash_password(clock.random_bytes(16).hex())
        self.reload()

    def reload(self) -> None:
        """Reads the file again if it has changed.

        Raises:
            ConfigError: it is missing or invalid.
        """
        try:
            status = self._path.stat()
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}") from error
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen != self._seen:
            self._users = {user.name: user for user in load_users(self._path)}
            self._seen = seen

    def find(self, name: str) -> User | None:
        """The user of that name; None if there is none, or while the file cannot be read."""
        try:
            self.reload()
        except ConfigError:
            return None
        return self._users.get(name)

    def matches(self, user: User | None, password: str) -> bool:
        """Whether the password is that user's; takes as long without a user."""
        secret = password.encode()
        if len(secret) > MAX_PASSWORD_BYTES:
            return False
        try:
            Argon2id.verify_phc_encoded(secret, self._decoy_hash if user is None else user.password_hash)
        except InvalidKey:
            return False
        return user is not None


def hash_password(password: str) -> str:
    """The PHC text of a password, under a new salt."""
    kdf = Argon2id(
        salt=clock.random_bytes(_SALT_BYTES),
        length=_LENGTH,
        iterations=_ITERATIONS,
        lanes=_LANES,
        memory_cost=_MEMORY_KIB,
    )
    return kdf.derive_phc_encoded(password.encode())


def load_users(path: Path) -> list[User]:
    """The users in a file; ignores lines that are empty or begin with ``#``.

    Raises:
        ConfigError: names the file and the line; never quotes its content.
    """
    content = read_file(path)
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: {len(content)} bytes, the limit is {MAX_FILE_BYTES}")
    users: dict[str, User] = {}
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        role, _, password_hash = rest.partition(":")
        if not _NAME.fullmatch(name) or role not in set(Role) or not password_hash.startswith("$argon2id$"):
            raise ConfigError(f"{path}, line {number}: expected NAME:viewer or auditor:$argon2id$...")
        if name in users:
            raise ConfigError(f"{path}, line {number}: {name} is listed twice")
        users[name] = User(name=name, role=Role(role), password_hash=password_hash)
    return list(users.values())


def add_user(path: Path, name: str, role: Role, password: str) -> bool:
    """Adds a user, or changes role and password of one; only the file's owner can read it.

    Returns:
        Whether the name is new.

    Raises:
        ConfigError: the name or the password is not acceptable, or the file is invalid.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"NAME: {name[:80]!r}, expected 1 to 64 of A-Z a-z 0-9 . _ @ -")
    if len(password) < MIN_PASSWORD_CHARACTERS or len(password.encode()) > MAX_PASSWORD_BYTES:
        raise ConfigError(f"password: expected at least {MIN_PASSWORD_CHARACTERS} characters, at most 1024 bytes")
    users = {user.name: user for user in load_users(path)} if path.exists() else {}
    is_new = name not in users
    users[name] = User(name=name, role=role, password_hash=hash_password(password))
    _save(path, users)
    return is_new


def remove_user(path: Path, name: str) -> None:
    """Removes a user; their sessions end with their next request.

    Raises:
        ConfigError: there is no such user, or the file is invalid.
    """
    users = {user.name: user for user in load_users(path)}
    if users.pop(name, None) is None:
        raise ConfigError(f"{path}: there is no user {name!r}")
    _save(path, users)


def _save(path: Path, users: dict[str, User]) -> None:
    lines = [f"{user.name}:{user.role}:{user.password_hash}\n" for user in users.values()]
    write_durable(path, "".join(lines).encode(), mode=0o600)
