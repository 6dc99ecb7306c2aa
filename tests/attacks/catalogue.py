"""What an attack is, how it is written down, and how all of them are found.

A module of a sub-folder holds the attacks of one kind::

    KIND = Kind(by=Attacker.ROOT, goal="be affirmed while nothing that runs is measured")

    @KIND.attack(right="none", code=Reason.LOG_MISSING)
    def entry_of_another_pcr(scene: Scene) -> Seen:
        '''A kernel without IMA, and a list with one entry, of PCR 12, which is not quoted.'''

The docstring is the column *tried*. ``ways`` makes one attack of each of several functions that differ in one move.
"""

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar

from schemas.reasons import Reason
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen

Move = TypeVar("Move", bound=Callable[..., object])
_HERE: Final = Path(__file__).parent


class Attacker(StrEnum):
    """Who attacks, after the parties of the threat model."""

    ROOT = "root on the device"
    NETWORK = "network"
    BROKER = "broker"
    STRANGER = "stranger"
    NEIGHBOUR = "neighbour"
    SUPPLIER = "supplier's key"
    DISTRIBUTOR = "distributor's key"
    VERIFIER = "verifier's key"
    OPERATOR = "operator"
    PROVER = "maker of a proof"
    NOBODY = "nobody"


class Layer(StrEnum):
    """What an attack needs, and with it the layer of tests in which it runs."""

    UNIT = "unit"
    COMPONENT = "component"
    INTEGRATION = "integration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack and its right answer.

    Attributes:
        name: folder, module and function: ``root/silent_logs/entry_of_another_pcr``.
        by: the attacker.
        goal: what the attacker wants.
        tried: what is done.
        right: each verdict that is right.
        code: the reason code that must come with it; None where no code exists.
        layer: of tests.
        needs: programs that must be on this machine.
        act: makes the attack; returns the product's answer.
    """

    name: str
    by: Attacker
    goal: str
    tried: str
    right: tuple[str, ...]
    code: Reason | None
    layer: Layer
    needs: tuple[str, ...]
    act: Callable[[Scene], Seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Attacks with one attacker and one goal."""

    by: Attacker
    goal: str
    layer: Layer = Layer.UNIT
    needs: tuple[str, ...] = ()

    def attack(self, *right: str, code: Reason | None = None) -> Callable[[Callable[[Scene], Seen]], Attack]:
        """Turns a function into an attack.

        Args:
            right: the verdicts that are right.
            code: the reason code that must come with it.
        """

        def made(act: Callable[[Scene], Seen]) -> Attack:
            return self._attack(_name(act), _tried(act), right, code, act)

        return made

    def ways(
        self, *right: str, code: Reason | None = None, moves: tuple[Move, ...]
    ) -> Callable[[Callable[[Scene, Move], Seen]], tuple[Attack, ...]]:
        """Turns a function into an attack for each of the moves, which it is given beside the scene."""

        def made(act: Callable[[Scene, Move], Seen]) -> tuple[Attack, ...]:
            return tuple(
                self._attack(
                    f"{_name(act)}/{move.__name__}",
                    f"{_tried(act)} {_tried(move)}",
                    right,
                    code,
                    lambda scene, move=move: act(scene, move),  # type: ignore[misc]  # bound now, not at the end of the loop
                )
                for move in moves
            )

        return made

    def _attack(
        self, name: str, tried: str, right: tuple[str, ...], code: Reason | None, act: Callable[[Scene], Seen]
    ) -> Attack:
        return Attack(
            name=name,
            by=self.by,
            goal=self.goal,
            tried=tried,
            right=right,
            code=code,
            layer=self.layer,
            needs=self.needs,
            act=act,
        )


def _name(act: Callable[..., object]) -> str:
    folder, module = act.__module__.split(".")[-2:]
    return f"{folder}/{module}/{act.__name__}"


def _tried(act: Callable[..., object]) -> str:
    text = inspect.getdoc(act)
    assert text, f"{act.__module__}.{act.__name__}: say in its docstring what is tried"
    return " ".join(text.split())


def catalogue() -> tuple[Attack, ...]:
    """All attacks, in the order of folders, modules and lines."""
    found = tuple(attack for module in _modules() for attack in _attacks_in(module))
    names = [attack.name for attack in found]
    assert len(set(names)) == len(names), "two attacks of one name"
    return found


def chosen(names: list[str]) -> tuple[Attack, ...]:
    """The attacks whose name has one of these as a part, or fits it as a pattern; all of them for no name."""
    return tuple(
        attack
        for attack in catalogue()
        if not names or any(name in attack.name or fnmatch(attack.name, name) for name in names)
    )


def _modules() -> Iterator[ModuleType]:
    for path in sorted(_HERE.glob("*/*.py")):
        if path.stem != "__init__":
            yield importlib.import_module(f"tests.attacks.{path.parent.name}.{path.stem}")


def _attacks_in(module: ModuleType) -> Iterator[Attack]:
    for value in vars(module).values():
        match value:
            case Attack():
                yield value
            case (Attack(), *_):
                yield from value
            case _:
                pass
