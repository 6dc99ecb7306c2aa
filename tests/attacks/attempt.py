"""Makes an attack and judges the answer."""

import contextlib
import io
import logging
import shutil
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.attacks.catalogue import Attack
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen


class Outcome(StrEnum):
    """How an attack ended."""

    HELD = "HELD"
    FOOLED = "FOOLED"
    OTHER_CODE = "OTHER CODE"  # the verdict is right, the reason code is not among those given
    BROKEN = "BROKEN"  # the attack could not be made, or the product raised
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attack that was made, the answer and how long it took."""

    attack: Attack
    seen: Seen
    outcome: Outcome
    seconds: float


def attempt(attack: Attack) -> Attempt:
    """Makes one attack. Never raises; what commands print and log is dropped."""
    missing = [program for program in attack.needs if shutil.which(program) is None]
    if missing:
        seen = Seen(verdict="-", detail=f"not on this machine: {', '.join(missing)}")
        return Attempt(attack=attack, seen=seen, outcome=Outcome.SKIPPED, seconds=0.0)
    started_s = time.monotonic()
    try:
        with _silence(), Scene() as scene:
            seen = attack.act(scene)
        outcome = _judge(attack, seen)
    except Exception:  # noqa: BLE001 an attack that breaks is reported beside those that are held
        seen, outcome = Seen(verdict="-", detail=traceback.format_exc()), Outcome.BROKEN
    return Attempt(attack=attack, seen=seen, outcome=outcome, seconds=time.monotonic() - started_s)


def _judge(attack: Attack, seen: Seen) -> Outcome:
    if seen.verdict not in attack.right:
        return Outcome.FOOLED
    return Outcome.HELD if attack.code is None or attack.code in seen.reasons else Outcome.OTHER_CODE


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
