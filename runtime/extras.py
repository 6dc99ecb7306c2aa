"""Optional parts of this software, which ``pip install 'attestream[…]'`` adds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from schemas.errors import ConfigError

_OUR_PACKAGES: Final = frozenset({"attester_agent", "relying_party", "runtime", "schemas", "verifier_worker"})


@contextmanager
def needs_extra(extra: str, field: str = "") -> Iterator[None]:
    """Wraps the import of a module whose libraries come with ``extra``.

    The module is imported by ``importlib.import_module`` and a literal name, so that tests/architecture sees it.

    Args:
        extra: as in ``pyproject.toml``.
        field: the setting that asks for it, if one does.

    Raises:
        ConfigError: the extra is not installed; names the missing package.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OUR_PACKAGES:
            raise
        where = f"{field}: " if field else ""
        raise ConfigError(f"{where}{error.name} is not installed: pip install 'attestream[{extra}]'") from error
