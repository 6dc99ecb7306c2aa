"""Claims about the device by the agent's own word: signed with the evidence, measured by nothing.

A collector returns a value, or None when the device has none. A new claim is a line in :data:`COLLECTORS`.
"""

import os
import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from schemas.evidence import ClaimValue
from schemas.limits import MAX_TEXT_BYTES

_COMMAND_LINE: Final = Path("/proc/cmdline")


def agent_version() -> str:
    """The version of this software."""
    try:
        return metadata.version("attestream")
    except metadata.PackageNotFoundError:  # run from a source tree
        return "source"


def kernel_release() -> ClaimValue | None:
    """As ``uname -r``."""
    return os.uname().release


def operating_system() -> ClaimValue | None:
    """PRETTY_NAME of os-release(5)."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")[:MAX_TEXT_BYTES] or None
    except OSError:
        return None


def kernel_command_line() -> ClaimValue | None:
    """What the kernel was started with."""
    try:
        return _COMMAND_LINE.read_text("utf-8", "replace").strip()[:MAX_TEXT_BYTES] or None
    except OSError:
        return None


COLLECTORS: Final[Mapping[str, Callable[[], ClaimValue | None]]] = {
    "agent-version": agent_version,
    "kernel-command-line": kernel_command_line,
    "kernel-release": kernel_release,
    "operating-system": operating_system,
}


def collect_claims(label: str | None = None) -> dict[str, ClaimValue]:
    """All claims as they are now.

    Args:
        label: the configured name of the device, if any; becomes the claim ``label``.
    """
    claims = {name: value for name, collect in COLLECTORS.items() if (value := collect()) is not None}
    return claims if label is None else claims | {"label": label}
