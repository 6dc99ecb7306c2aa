"""The results that a relying party should see in the scenario, compared with those that it saw. Pure.

Only verified results are used. The expectations for a device follow from its role and from the actions that were
performed, so an interrupted run is judged by the steps that it reached.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deploy.demo.scenario.plan import Action, Role
from relying_party.result_board import Standing
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The standing of a device from one time on."""

    at_s: float
    standing: Standing


@dataclass(slots=True, kw_only=True)
class History:
    """The results about one device, and the actions on it.

    Attributes:
        moments: results in the order of their arrival.
        actions: with their times.
        planted: the path of the installed program, if any.
    """

    moments: list[Moment] = field(default_factory=list)
    actions: dict[Action, list[float]] = field(default_factory=dict)
    planted: str | None = None

    def since(self, at_s: float) -> list[Standing]:
        """The standings from ``at_s`` on."""
        return [moment.standing for moment in self.moments if moment.at_s >= at_s]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One expectation.

    Attributes:
        device: its name.
        role: its role.
        expected: in words.
        seen: in words.
        met: whether the two agree.
    """

    device: str
    role: Role
    expected: str
    seen: str
    met: bool


def judge(device: str, role: Role, history: History, final: Standing | None) -> list[Expectation]:
    """Compares the results about a device with the expectations.

    Args:
        device: its name.
        role: its role.
        history: results and actions.
        final: its standing at the end; None if there was no result.
    """
    checks = [_appraised(history)]
    for action, times in history.actions.items():
        checks.append(_after(action, times[0], history))
    if role is not Role.TAMPERED:
        checks.append(_never_contraindicated(history))
    checks.append(_final(history, final))
    return [
        Expectation(device=device, role=role, expected=expected, seen=seen, met=met) for expected, seen, met in checks
    ]


def describe(standing: Standing | None) -> str:
    """Status, freshness and reasons in a few words."""
    if standing is None:
        return "no result"
    reasons = ", ".join(standing.reasons)
    return f"{standing.status}, {standing.freshness}" + (f" ({reasons})" if reasons else "")


def codes_seen(history: History) -> list[str]:
    """The codes of refused messages in the device's name, in the order of their first appearance."""
    last = (moment.standing.result.rejections for moment in history.moments)
    return list(dict.fromkeys(rejections.last for rejections in last if rejections is not None))


def result_counts(histories: Mapping[str, History]) -> dict[str, int]:
    """The number of results, by status."""
    counts: dict[str, int] = {}
    for history in histories.values():
        for moment in history.moments:
            status = moment.standing.result.status.value
            counts[status] = counts.get(status, 0) + 1
    return counts


_Check = tuple[str, str, bool]

_REFUSED_AS = {
    Action.REPLAY: Reason.EVIDENCE_REPLAYED,
    Action.FORGE: Reason.QUOTE_SIGNATURE_INVALID,
    Action.CROSS: Reason.UEID_MISMATCH,
}


def _appraised(history: History) -> _Check:
    affirmed = next((moment for moment in history.moments if _is_good(moment.standing)), None)
    seen = "never" if affirmed is None else f"after {max(0.0, affirmed.at_s):.1f} s"
    return "becomes affirming and fresh", seen, affirmed is not None


def _after(action: Action, at_s: float, history: History) -> _Check:
    later = history.since(at_s)
    match action:
        case Action.TAMPER:
            return _contraindicated(history.planted, later)
        case Action.REBOOT:
            met = any(Reason.REBOOTED in standing.reasons for standing in later)
            return "reboot is noticed", Reason.REBOOTED if met else f"no {Reason.REBOOTED}: {_last(later)}", met
        case Action.SILENCE:
            met = any(
                standing.freshness is Freshness.STALE and Reason.EVIDENCE_OVERDUE in standing.reasons
                for standing in later
            )
            code = Reason.EVIDENCE_OVERDUE
            return "silence becomes stale", code if met else f"no {code}: {_last(later)}", met
        case Action.REPLAY | Action.FORGE | Action.CROSS:
            code = _REFUSED_AS[action]
            seen = codes_seen(history)
            met = code in seen
            return f"{action} is refused", code if met else f"no {code}: {', '.join(seen) or 'no refusal'}", met


def _contraindicated(path: str | None, later: Sequence[Standing]) -> _Check:
    expected = f"notices {path}"
    for standing in later:
        if (
            standing.status is Tier.CONTRAINDICATED
            and Reason.FILE_UNEXPECTED in standing.reasons
            and path in standing.result.unexpected
        ):
            return expected, Reason.FILE_UNEXPECTED, True
    return expected, f"no {Reason.FILE_UNEXPECTED}: {_last(later)}", False


def _never_contraindicated(history: History) -> _Check:
    bad = [moment.standing for moment in history.moments if moment.standing.status is Tier.CONTRAINDICATED]
    return "never contraindicated", describe(bad[0]) if bad else "never", not bad


def _final(history: History, final: Standing | None) -> _Check:
    """Checks the standing at the end, by the last action."""
    if Action.SILENCE in history.actions:
        met = final is not None and final.status is Tier.NONE and final.freshness is Freshness.STALE
        return "ends undecided and stale", _briefly(final, met=met), met
    if Action.TAMPER in history.actions and Action.REBOOT not in history.actions:
        met = final is not None and final.status is Tier.CONTRAINDICATED
        return "ends still contraindicated", _briefly(final, met=met), met
    met = final is not None and _is_good(final)
    return "ends affirming and fresh", _briefly(final, met=met), met


def _briefly(final: Standing | None, *, met: bool) -> str:
    """Status and freshness; with the reasons only if the expectation was missed."""
    return f"{final.status}, {final.freshness}" if final is not None and met else describe(final)


def _is_good(standing: Standing) -> bool:
    return standing.status is Tier.AFFIRMING and standing.freshness is Freshness.FRESH


def _last(later: Sequence[Standing]) -> str:
    return describe(later[-1]) if later else "no result since"
