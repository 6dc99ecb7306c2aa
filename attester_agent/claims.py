"""The interface of claim plug-ins, and the plug-ins that come with the agent.

A collector returns one value, several values by name, or None if the device has no such claim. Plug-ins register a
:class:`Collector` under the entry-point group ``attestream.claims``; the entry point's name is the claim's name.
``claim_collection`` runs the collectors and ensures that none of them can stop or delay a push.

Claims are signed with the evidence, but nothing proves them: they are the attester's word. If a measurement log holds
the same fact, ``measured_in`` names the log, so that operators know which PCRs to quote. No verifier relies on
``measured_in``: facts that a verifier vouches for come from the logs that it replayed.
"""

import hashlib
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from runtime.service import installed_version
from schemas.messages.evidence import ClaimValue

MAX_CONTAINER_FILES: Final = 32
MAX_CONTAINER_FILE_BYTES: Final = 1024 * 1024
_HOUR_S: Final = 3600
_CLOCK_ADJUSTED_S: Final = 300  # the kernel computes its boot time from the clock, so setting the clock moves it
_BOOT_TIME_STEP_S: Final = 60

# UEFI 2.10, 3.3: a variable of the global GUID; efivarfs puts four bytes of attributes before the value.
_SECURE_BOOT: Final = Path("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
_EFIVAR_BYTES: Final = 5
_COMMAND_LINE: Final = Path("/proc/cmdline")
_STAT: Final = Path("/proc/stat")
_DMI: Final = Path("/sys/class/dmi/id")

Collected: TypeAlias = ClaimValue | Mapping[str, ClaimValue] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """One plug-in.

    Attributes:
        collect: returns the claims. If it raises, the error is logged and only its own claims are lost. Each call may
            come from another thread, but never two at once.
        measured_in: the measurement log and PCR that hold the same fact; empty if none does.
        by_name_only: left out unless the selection names it without a wildcard, because its value changes with almost
            every push.
    """

    collect: Callable[[], Collected]
    measured_in: str = ""
    by_name_only: bool = False


def agent_version() -> Collected:
    """The version of this software."""
    return installed_version()


def kernel_release() -> Collected:
    """The kernel's release, as ``uname -r`` prints it."""
    return os.uname().release


def os_release() -> Collected:
    """PRETTY_NAME of os-release(5)."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except FileNotFoundError:
        return None


def kernel_command_line() -> Collected:
    """The kernel's command line."""
    return _read_text(_COMMAND_LINE)


def secure_boot() -> Collected:
    """Whether the firmware enforces Secure Boot; None on a machine without UEFI.

    Raises:
        ValueError: the variable has not the size that UEFI specifies.
    """
    try:
        raw = _SECURE_BOOT.read_bytes()
    except FileNotFoundError:
        return None
    if len(raw) != _EFIVAR_BYTES:
        message = f"{_SECURE_BOOT}: {len(raw)} bytes, expected {_EFIVAR_BYTES}"
        raise ValueError(message)
    return raw[-1] == 1


def firmware_version() -> Collected:
    """Vendor, version and date of the firmware, from SMBIOS."""
    parts = (_read_text(_DMI / name) for name in ("bios_vendor", "bios_version", "bios_date"))
    return ", ".join(filter(None, parts)) or None


class BootTime:
    """When the kernel started, UTC, to the minute. Unlike an uptime it does not change, so it is sent once.

    The first answer is kept, because the kernel computes the boot time from a clock that is corrected all the time.
    """

    def __init__(self, stat: Path = _STAT) -> None:
        self._stat = stat
        self._known_s: int | None = None

    def __call__(self) -> Collected:
        """The boot time as ISO 8601."""
        line = next((each for each in self._stat.read_text("ascii").splitlines() if each.startswith("btime ")), None)
        if line is None:
            return None
        now_s = int(line.split()[1])
        if self._known_s is None or abs(now_s - self._known_s) > _CLOCK_ADJUSTED_S:
            self._known_s = now_s
        minute_s = self._known_s // _BOOT_TIME_STEP_S * _BOOT_TIME_STEP_S
        return time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(minute_s))


def uptime() -> Collected:
    """Whole hours since the kernel started, suspended time included."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME)) // _HOUR_S


def container_digests(paths: Sequence[Path]) -> Collector:
    """A collector of the SHA-256 of files that define containers: image manifests, quadlets, compose files.

    Args:
        paths: files, or folders of files; missing ones are left out.
    """

    def collect() -> Collected:
        found = {path.name: path for each in paths for path in (sorted(each.iterdir()) if each.is_dir() else [each])}
        files = {name: path for name, path in found.items() if path.is_file()}
        if len(files) > MAX_CONTAINER_FILES:
            message = f"{len(files)} files, the limit is {MAX_CONTAINER_FILES}"
            raise ValueError(message)
        return {name: f"sha256:{_digest(path)}" for name, path in files.items()}

    return Collector(collect=collect)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_CONTAINER_FILE_BYTES + 1)
    if len(content) > MAX_CONTAINER_FILE_BYTES:
        message = f"{path}: more than {MAX_CONTAINER_FILE_BYTES} bytes"
        raise ValueError(message)
    return hashlib.sha256(content).hexdigest()


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace").strip() or None
    except FileNotFoundError:
        return None


# Named by pyproject.toml under [project.entry-points."attestream.claims"].
AGENT_VERSION: Final = Collector(collect=agent_version)
BOOT_TIME: Final = Collector(collect=BootTime())
FIRMWARE_VERSION: Final = Collector(collect=firmware_version)
KERNEL_COMMAND_LINE: Final = Collector(
    collect=kernel_command_line, measured_in="boot log: PCR 8 by GRUB, PCR 12 by systemd-stub"
)
KERNEL_RELEASE: Final = Collector(collect=kernel_release)
OS_RELEASE: Final = Collector(collect=os_release)
SECURE_BOOT: Final = Collector(collect=secure_boot, measured_in="boot log: PCR 7")
UPTIME: Final = Collector(collect=uptime, by_name_only=True)
