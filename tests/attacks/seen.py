"""The product's answer to an attack, as a person or a script at the other end sees it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from schemas.errors import PeerError
from schemas.messages.result import AttestationResult
from schemas.verdicts import Tier
from tests.worlds.step_bench import Bench, CelBench
from tests.worlds.watched_device import WatchedDevice
from verifier_worker.core.step import Step

REFUSED: Final = "refused"
TAKEN: Final = "taken"

# From the defender's view, worst first: an attack has fooled the product if one of many tries has.
_WORST_FIRST: Final = ("YES", "affirming", TAKEN, "none", "warning", "contraindicated", REFUSED)


class HasVerdict(Protocol):
    """A state of an attester, or another holder of a verdict."""

    @property
    def status(self) -> Tier: ...

    @property
    def reasons(self) -> Iterable[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One answer.

    Attributes:
        verdict: a status of a result, ``refused``, ``taken``, or the answer of a command.
        reasons: reason codes that came with it.
        detail: one line for a reader.
    """

    verdict: str
    reasons: tuple[str, ...] = ()
    detail: str = ""


def of_verdict(verdict: HasVerdict, detail: str = "") -> Seen:
    return Seen(verdict=str(verdict.status.value), reasons=tuple(map(str, verdict.reasons)), detail=detail)


def of_state(bench: Bench | CelBench | WatchedDevice) -> Seen:
    """The verdict in force about the device."""
    assert bench.state is not None
    return of_verdict(bench.state.verdict)


def of_step(taken: Step) -> Seen:
    """The answer to one push: refused, or the verdict after it."""
    if taken.refused is not None:
        return of_error(taken.refused)
    assert taken.state is not None
    details = ", ".join(finding.detail for finding in taken.findings if finding.detail)
    return of_verdict(taken.state.verdict, details)


def of_result(result: AttestationResult) -> Seen:
    return Seen(verdict=result.status.value, reasons=tuple(map(str, result.reasons)), detail=result.freshness.value)


def of_error(error: PeerError) -> Seen:
    return Seen(verdict=REFUSED, reasons=(error.reason.value,), detail=error.detail)


def of_call(call: Callable[[], object]) -> Seen:
    """``taken``, or ``refused`` with the code of the refusal."""
    try:
        call()
    except PeerError as error:
        return of_error(error)
    return Seen(verdict=TAKEN)


def of_command(status: int, output: str, answers: Mapping[int, str]) -> Seen:
    """The answer of a command by its exit status."""
    last = output.strip().splitlines()[-1:] or [""]
    return Seen(verdict=answers.get(status, f"exit {status}"), detail=last[0])


def best_for_the_attacker(tries: Iterable[Seen]) -> Seen:
    """The answer that fooled the product most, of many tries."""
    return min(tries, key=_rank)


def _rank(seen: Seen) -> int:
    return _WORST_FIRST.index(seen.verdict) if seen.verdict in _WORST_FIRST else len(_WORST_FIRST)
