"""Finds the machine's transitions between two pushes: suspend, hibernation, kexec (REIM 7.2.1).

The TPM counts resets, and resumes after it had lost power. The kernel counts all suspends, also those that left the TPM
its power (suspend to idle), and has a boot id:

* The restart count rose: that many suspends. Each is reported, whether or not a PCR changed.
* The kernel counts more suspends than the TPM: the others were suspends to idle.
* The reset count rose under the same kernel: a hibernation. The IMA list shows it, too: it then holds more entries than
  the quote covers (``log_window.outlived``), whether or not the agent ran before.
* Another kernel runs, and the TPM was not reset: a kexec.

Limits: suspends before a reboot are unknown if the agent did not run in between. The order of suspends and a kexec
between two pushes is unknown; the kexec is put last. If the kernel does not count suspends to idle, several look like
one. The TPM signs only the restart count, so a verifier has only the agent's word for all other transitions.
"""

from dataclasses import dataclass
from typing import Final

from schemas.limits import MAX_TRANSITIONS
from schemas.messages.evidence import Transition
from schemas.time_model import counter_after, counter_steps
from schemas.tpm.attest import ClockInfo
from schemas.transitions import TransitionKind

_ASLEEP_MS: Final = 1000  # the two clocks are not read at one instant


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelView:
    """The running kernel's own data; None for values that it does not report.

    Attributes:
        boot_id: different for each start of a kernel.
        suspends: how often it was suspended and resumed.
        asleep_ms: time spent suspended.
    """

    boot_id: str | None = None
    suspends: int | None = None
    asleep_ms: int | None = None


NOTHING_KNOWN: Final = KernelView()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """Kernel and TPM at one moment. ``clock_ms`` and the counts have the values that the attesting key signs."""

    kernel: KernelView
    clock_ms: int
    reset_count: int
    restart_count: int


def machine_state(kernel: KernelView, clock: ClockInfo) -> MachineState:
    """The state at the moment when the TPM signed ``clock``."""
    return MachineState(
        kernel=kernel, clock_ms=clock.clock, reset_count=clock.reset_count, restart_count=clock.restart_count
    )


def has_woken(before: KernelView, now: KernelView) -> bool:
    """Whether the machine was suspended, or another kernel runs now."""
    return before.boot_id != now.boot_id or _suspends(before, now) > 0


def transitions_between(before: MachineState | None, now: MachineState) -> tuple[Transition, ...]:
    """All transitions between two pushes, in order, at most the last ``MAX_TRANSITIONS``.

    Args:
        before: stored with the last push; None gives no transitions.
        now: for this push.
    """
    if before is None:
        return ()
    same_kernel = before.kernel.boot_id is not None and before.kernel.boot_id == now.kernel.boot_id
    found: list[tuple[TransitionKind, int]] = []
    if before.reset_count == now.reset_count:
        restarts = max(0, counter_steps(before.restart_count, now.restart_count))
        first = max(0, restarts - MAX_TRANSITIONS)
        found += [
            (TransitionKind.SUSPEND, counter_after(before.restart_count, 1 + each)) for each in range(first, restarts)
        ]
        idle = _suspends(before.kernel, now.kernel) - restarts if same_kernel else 0
        found += [(TransitionKind.SUSPEND, now.restart_count)] * min(max(0, idle), MAX_TRANSITIONS)
        if before.kernel.boot_id is not None and now.kernel.boot_id is not None and not same_kernel:
            found.append((TransitionKind.KEXEC, now.restart_count))
    elif same_kernel and counter_steps(before.reset_count, now.reset_count) > 0:  # else the TPM was cleared
        found.append((TransitionKind.HIBERNATE, now.restart_count))
    return tuple(
        Transition(kind=kind, clock_ms=now.clock_ms, reset_count=now.reset_count, restart_count=restart)
        for kind, restart in found[-MAX_TRANSITIONS:]
    )


def _suspends(before: KernelView, now: KernelView) -> int:
    """Suspends that the kernel knows of."""
    if before.suspends is not None and now.suspends is not None:
        return max(0, now.suspends - before.suspends)
    if before.asleep_ms is not None and now.asleep_ms is not None:
        return int(now.asleep_ms - before.asleep_ms > _ASLEEP_MS)
    return 0
