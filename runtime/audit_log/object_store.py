"""Audit logs in S3-compatible stores. The only importer of obstore, which is an extra (``attestream[object-store]``).

An object is replaced as a whole, and durable once the store has answered. Credentials and missing options come from the
environment variables that S3 clients share (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL`` …).
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from runtime.audit_log.store import AuditLogStore, FolderStore
from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

try:
    import obstore
    from obstore import exceptions
    from obstore.store import S3Store

    _ABSENT = ""
except ImportError as error:
    _ABSENT = str(error)

_SCHEME: Final = "s3://"
_RETRIES: "Final[RetryConfig]" = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}


def open_store(location: str) -> AuditLogStore:
    """The store of an audit log that a command line names: a folder, or ``s3://bucket/prefix``.

    Raises:
        ConfigError: the folder or the store does not exist.
    """
    if location.startswith(_SCHEME):
        return ObjectStore(location, {})
    if not Path(location).is_dir():
        raise ConfigError(f"{location}: there is no such folder")
    return FolderStore(Path(location))


class ObjectStore(AuditLogStore):
    """A prefix in a bucket."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        """Does not connect yet.

        Args:
            url: ``s3://bucket/prefix``.
            options: of the store, by obstore's names: ``endpoint``, ``region`` …; ``allow_http = "true"`` for tests.

        Raises:
            ConfigError: the URL or an option is wrong, or the extra is not installed.
        """
        if _ABSENT:
            raise ConfigError(f"audit.store: {_ABSENT}; install attestream[object-store]")
        if not url.startswith(_SCHEME):
            raise ConfigError(f"audit.store: {url!r}, expected s3://BUCKET/PREFIX")
        self._url = url
        config = dict(options)
        client: ClientConfig | None = {"allow_http": True} if config.pop("allow_http", "") == "true" else None
        try:
            self._store = S3Store.from_url(url, config=config, client_options=client, retry_config=_RETRIES)  # type: ignore[arg-type]  # names are checked at run time
        except (exceptions.BaseError, ValueError, TypeError) as error:
            raise ConfigError(f"audit.store: {url}: {error}") from error

    @property
    @override
    def name(self) -> str:
        return self._url

    @override
    def read(self, path: str, *, max_bytes: int) -> bytes | None:
        try:
            found = obstore.get(self._store, path)
            if found.meta["size"] > max_bytes:
                raise WorldError(Reason.STORE_UNAVAILABLE, f"{self._url}/{path}: larger than {max_bytes} bytes")
            return bytes(found.bytes())
        except FileNotFoundError:
            return None
        except exceptions.BaseError as error:
            raise self._failed(path, error) from error

    @override
    def write(self, path: str, content: bytes) -> None:
        try:
            obstore.put(self._store, path, content)
        except exceptions.BaseError as error:
            raise self._failed(path, error) from error

    @override
    def swap(self, path: str, content: bytes, old: bytes | None) -> bool:
        try:
            if old is None:
                obstore.put(self._store, path, content, mode="create")
                return True
            found = obstore.get(self._store, path)
            if bytes(found.bytes()) != old:
                return False
            condition = {name: found.meta[name] for name in ("e_tag", "version") if found.meta[name] is not None}
            obstore.put(self._store, path, content, mode=condition)  # type: ignore[arg-type]  # a TypedDict, total=False
        except (FileNotFoundError, exceptions.AlreadyExistsError, exceptions.PreconditionError):
            return False
        except exceptions.BaseError as error:
            raise self._failed(path, error) from error
        return True

    @override
    def list(self, prefix: str) -> Iterator[str]:
        try:
            found = obstore.list_with_delimiter(self._store, prefix)
            return iter([each["path"].rpartition("/")[2] for each in found["objects"]])
        except FileNotFoundError:
            return iter(())
        except exceptions.BaseError as error:
            raise self._failed(prefix, error) from error

    @override
    def remove(self, path: str) -> None:
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:
            pass
        except exceptions.BaseError as error:
            raise self._failed(path, error) from error

    def _failed(self, path: str, error: Exception) -> WorldError:
        return WorldError(Reason.STORE_UNAVAILABLE, f"{self._url}/{path}: {str(error).partition(chr(10))[0]}"[:500])
