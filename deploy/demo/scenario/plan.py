"""The plan: the role of each device, and the steps with their times. Pure data, timed in fractions of the run.

With fewer devices than roles the last roles are left out; with more devices, the others run undisturbed.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """The role of a device."""

    TAMPERED = "tampered"
    REBOOTED = "rebooted"
    SILENT = "silent"
    REPLAYED = "replayed"
    STEADY = "steady"


class Action(StrEnum):
    """An action of the demo on a device, or in its name."""

    TAMPER = "tamper"
    REBOOT = "reboot"
    SILENCE = "silence"
    REPLAY = "replay"
    FORGE = "forgery"
    CROSS = "crossing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step.

    Attributes:
        at_s: seconds after everything was up.
        device: number of the device, from 1.
        action: to perform.
        line: printed for it, with ``{device}`` for the device's name.
    """

    at_s: float
    device: int
    action: Action
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of one run.

    Attributes:
        roles: of each device, by its number, from 1.
        steps: in the order of their times.
        left_out: roles for which there are too few devices.
    """

    roles: dict[int, Role]
    steps: tuple[Step, ...]
    left_out: tuple[Role, ...]


_PARTS: Final = (Role.TAMPERED, Role.REBOOTED, Role.SILENT, Role.REPLAYED)
_SCRIPT: Final = (
    (0.14, Role.TAMPERED, Action.TAMPER, "{device}: an unknown program is installed and run"),
    (0.22, Role.REBOOTED, Action.REBOOT, "{device}: reboots, orderly; new PCRs, new logs, new agent"),
    (0.30, Role.SILENT, Action.SILENCE, "{device}: its agent is stopped; the device falls silent"),
    (0.38, Role.REPLAYED, Action.REPLAY, "{device}: a stranger publishes old evidence of it again"),
    (
        0.45,
        Role.REPLAYED,
        Action.FORGE,
        "{device}: the stranger changes one bit of it, so that it looks newer",
    ),
    (0.52, Role.REPLAYED, Action.CROSS, "{device}: the stranger publishes evidence of another device in its name"),
    (0.62, Role.TAMPERED, Action.REBOOT, "{device}: is reinstalled and reboots clean"),
)


def devices_for_everything() -> int:
    """The number of devices for all roles."""
    return len(_PARTS)


def plan(attesters: int, seconds: float) -> Plan:
    """The plan of a run.

    Args:
        attesters: number of devices, at least 1.
        seconds: how long the run takes, or the scenario if the run continues after it.
    """
    roles = dict.fromkeys(range(1, attesters + 1), Role.STEADY)
    # If there are enough devices, nothing happens to the first: a reader looks there first.
    first = 2 if attesters > len(_PARTS) else 1
    cast: dict[Role, int] = {}
    for number, role in zip(range(first, attesters + 1), _PARTS, strict=False):
        roles[number] = role
        cast[role] = number
    steps = tuple(
        Step(at_s=fraction * seconds, device=cast[role], action=action, line=line)
        for fraction, role, action, line in _SCRIPT
        if role in cast
    )
    return Plan(roles=roles, steps=steps, left_out=tuple(role for role in _PARTS if role not in cast))
