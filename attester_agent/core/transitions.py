"""What happened to the machine between two pushes: suspend, hibernation, another kernel (REIM 7.2.1). Pure.

The TPM counts resumes in which it had lost power, and resets. The kernel knows suspends that left the TPM its power
(suspend to idle), and has an id of its own. Together:

* restart count up: so many suspends; each is reported, whether or not anything changed;
* more suspends by the kernel than by the TPM: the others were suspends to idle;
* reset count up under the same kernel: it slept on disk, a hibernation (of the reset the TPM's count tells anyway);
* another kernel without a reset of the TPM: kexec.

What cannot be told: suspends before a reboot, when the agent did not run in between; how suspends and a kexec between
two looks were ordered (the kexec is put last); several suspends to idle where the kernel keeps no count of them (they
are one). For the verifier all but resumes with a new restart count is the agent's word: the TPM signs nothing of it.
"""

from dataclasses import dataclass
from typing import Final

from schemas.limits import MAX_TRANSITIONS
from schemas.messages.evidence import Transition, TransitionKind
from schemas.time_model import counter_after, counter_steps
from schemas.tpm.attest import ClockInfo

_ASLEEP_MS: Final = 1000  # the two clocks are not read at one instant


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelView:
    """What the running kernel says of itself; None where it does not.

    Attributes:
        boot_id: another one for each kernel that is started.
        suspends: how often it was suspended and resumed.
        asleep_ms: time spent suspended.
    """

    boot_id: str | None = None
    suspends: int | None = None
    asleep_ms: int | None = None


NOTHING_KNOWN: Final = KernelView()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """Kernel and TPM at one moment. ``clock_ms`` and the counts are as the attesting key signs them."""

    kernel: KernelView
    clock_ms: int
    reset_count: int
    restart_count: int


def machine_state(kernel: KernelView, clock: ClockInfo) -> MachineState:
    """What was seen when the TPM signed ``clock``."""
    return MachineState(
        kernel=kernel, clock_ms=clock.clock, reset_count=clock.reset_count, restart_count=clock.restart_count
    )


def has_woken(before: KernelView, now: KernelView) -> bool:
    """Whether the kernel was suspended, or is another one."""
    return before.boot_id != now.boot_id or _suspends(before, now) > 0


def transitions_between(before: MachineState | None, now: MachineState) -> tuple[Transition, ...]:
    """All transitions from one look to the next, in order, at most the last ``MAX_TRANSITIONS``.

    Args:
        before: as stored with the last push; None reports nothing.
        now: as of this push.
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
    elif same_kernel:
        found.append((TransitionKind.HIBERNATE, now.restart_count))
    return tuple(
        Transition(kind=kind, clock_ms=now.clock_ms, reset_count=now.reset_count, restart_count=restart)
        for kind, restart in found[-MAX_TRANSITIONS:]
    )


def _suspends(before: KernelView, now: KernelView) -> int:
    """Suspends of one kernel that it knows of."""
    if before.suspends is not None and now.suspends is not None:
        return max(0, now.suspends - before.suspends)
    if before.asleep_ms is not None and now.asleep_ms is not None:
        return int(now.asleep_ms - before.asleep_ms > _ASLEEP_MS)
    return 0
