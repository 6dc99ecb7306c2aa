"""The story: which device plays which part, and what happens when. Pure data, timed in fractions of the run.

With fewer devices than parts the last parts are left out; with more, the rest do nothing but live.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What happens to a device."""

    TAMPERED = "tampered"
    REBOOTED = "rebooted"
    SILENT = "silent"
    REPLAYED = "replayed"
    STEADY = "steady"


class Deed(StrEnum):
    """What the demo does to a device, or in its name."""

    TAMPER = "tamper"
    REBOOT = "reboot"
    SILENCE = "silence"
    REPLAY = "replay"
    FORGE = "forgery"
    CROSS = "crossing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that happens.

    Attributes:
        at_s: seconds after everything was up.
        device: number of the device, from 1.
        deed: what is done.
        says: what the story tells, with ``{device}`` for the device's name.
    """

    at_s: float
    device: int
    deed: Deed
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole story for one run.

    Attributes:
        roles: of each device, by its number, from 1.
        acts: by time.
        left_out: parts for which there are too few devices.
    """

    roles: dict[int, Role]
    acts: tuple[Act, ...]
    left_out: tuple[Role, ...]


_PARTS: Final = (Role.TAMPERED, Role.REBOOTED, Role.SILENT, Role.REPLAYED)
_SCRIPT: Final = (
    (0.14, Role.TAMPERED, Deed.TAMPER, "{device}: a program that nobody vouched for is installed and run"),
    (0.22, Role.REBOOTED, Deed.REBOOT, "{device}: reboots, orderly; new PCRs, new logs, new agent"),
    (0.30, Role.SILENT, Deed.SILENCE, "{device}: its agent is stopped; it says nothing any more"),
    (0.38, Role.REPLAYED, Deed.REPLAY, "{device}: a stranger publishes old evidence of it once more"),
    (0.45, Role.REPLAYED, Deed.FORGE, "{device}: the stranger flips one bit of it, so that it looks newer"),
    (0.52, Role.REPLAYED, Deed.CROSS, "{device}: the stranger publishes evidence of another device in its name"),
    (0.62, Role.TAMPERED, Deed.REBOOT, "{device}: is reinstalled and reboots clean"),
)


def devices_for_everything() -> int:
    """How many devices it takes to leave no part out."""
    return len(_PARTS)


def plan(attesters: int, seconds: float) -> Plan:
    """The story of a run.

    Args:
        attesters: how many devices there are, at least 1.
        seconds: how long the run takes, or the story if the run goes on after it.
    """
    roles = dict.fromkeys(range(1, attesters + 1), Role.STEADY)
    # The first device stays as it is where there are enough: a reader looks there first.
    first = 2 if attesters > len(_PARTS) else 1
    cast: dict[Role, int] = {}
    for number, role in zip(range(first, attesters + 1), _PARTS, strict=False):
        roles[number] = role
        cast[role] = number
    acts = tuple(
        Act(at_s=fraction * seconds, device=cast[role], deed=deed, says=says)
        for fraction, role, deed, says in _SCRIPT
        if role in cast
    )
    return Plan(roles=roles, acts=acts, left_out=tuple(role for role in _PARTS if role not in cast))
