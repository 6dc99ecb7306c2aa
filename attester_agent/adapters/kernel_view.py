"""Reads the kernel's boot id and how often it was suspended."""

from pathlib import Path
from typing import Final

from attester_agent.core.transitions import KernelView
from runtime.clock import asleep_ms

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_SUSPENDS: Final = Path("/sys/power/suspend_stats/success")  # Linux 5.2; suspends to RAM and to idle


def read_kernel_view(boot_id: Path = BOOT_ID) -> KernelView:
    """The kernel's current data; None for values that it does not report.

    Args:
        boot_id: file with the boot id; an emulated machine has its own.
    """
    suspends = _read(_SUSPENDS)
    return KernelView(
        boot_id=_read(boot_id),
        suspends=int(suspends) if suspends is not None and suspends.isdecimal() else None,
        asleep_ms=asleep_ms(),
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip()[:64] or None
    except (OSError, UnicodeDecodeError):
        return None
