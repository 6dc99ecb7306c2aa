"""What each part of the story should look like to a relying party, and whether it did. Pure.

Only verified results count. What is expected of a device follows from its role and from what was really done to it,
so a run that was interrupted is judged by what it came to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deploy.demo.story.scenario import Deed, Role
from relying_party.result_board import Standing
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What stood about a device from one time on."""

    at_s: float
    standing: Standing


@dataclass(slots=True, kw_only=True)
class History:
    """All that was seen of one device, and what was done to it.

    Attributes:
        moments: results in the order of their arrival.
        deeds: what was done, and when.
        planted: the path of the program that was installed, if any.
    """

    moments: list[Moment] = field(default_factory=list)
    deeds: dict[Deed, list[float]] = field(default_factory=dict)
    planted: str | None = None

    def since(self, at_s: float) -> list[Standing]:
        """What was seen from ``at_s`` on."""
        return [moment.standing for moment in self.moments if moment.at_s >= at_s]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One thing that should have been seen.

    Attributes:
        device: its name.
        role: its part.
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
    """Holds what was seen of a device against what should have been.

    Args:
        device: its name.
        role: its part.
        history: what was seen of it and done to it.
        final: what stands about it at the end; None when nothing was ever said.
    """
    checks = [_appraised(history)]
    for deed, times in history.deeds.items():
        checks.append(_after(deed, times[0], history))
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
    """The codes for which messages in the device's name were refused, in the order in which they were seen."""
    last = (moment.standing.result.rejections for moment in history.moments)
    return list(dict.fromkeys(rejections.last for rejections in last if rejections is not None))


def result_counts(histories: Mapping[str, History]) -> dict[str, int]:
    """Results seen, by status."""
    counts: dict[str, int] = {}
    for history in histories.values():
        for moment in history.moments:
            status = moment.standing.result.status.value
            counts[status] = counts.get(status, 0) + 1
    return counts


_Check = tuple[str, str, bool]

_REFUSED_AS = {
    Deed.REPLAY: Reason.EVIDENCE_REPLAYED,
    Deed.FORGE: Reason.QUOTE_SIGNATURE_INVALID,
    Deed.CROSS: Reason.UEID_MISMATCH,
}


def _appraised(history: History) -> _Check:
    affirmed = next((moment for moment in history.moments if _is_good(moment.standing)), None)
    seen = "never" if affirmed is None else f"after {max(0.0, affirmed.at_s):.1f} s"
    return "becomes affirming and fresh", seen, affirmed is not None


def _after(deed: Deed, at_s: float, history: History) -> _Check:
    later = history.since(at_s)
    match deed:
        case Deed.TAMPER:
            return _contraindicated(history.planted, later)
        case Deed.REBOOT:
            met = any(Reason.REBOOTED in standing.reasons for standing in later)
            return "reboot is noticed", Reason.REBOOTED if met else f"no {Reason.REBOOTED}: {_last(later)}", met
        case Deed.SILENCE:
            met = any(
                standing.freshness is Freshness.STALE and Reason.EVIDENCE_OVERDUE in standing.reasons
                for standing in later
            )
            code = Reason.EVIDENCE_OVERDUE
            return "silence becomes stale", code if met else f"no {code}: {_last(later)}", met
        case Deed.REPLAY | Deed.FORGE | Deed.CROSS:
            code = _REFUSED_AS[deed]
            seen = codes_seen(history)
            met = code in seen
            return f"{deed} is refused", code if met else f"no {code}: {', '.join(seen) or 'no refusal'}", met


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
    """How the device stands at the end, by what was done to it last."""
    if Deed.SILENCE in history.deeds:
        met = final is not None and final.status is Tier.NONE and final.freshness is Freshness.STALE
        return "ends undecided and stale", _briefly(final, met=met), met
    if Deed.TAMPER in history.deeds and Deed.REBOOT not in history.deeds:
        met = final is not None and final.status is Tier.CONTRAINDICATED
        return "ends still contraindicated", _briefly(final, met=met), met
    met = final is not None and _is_good(final)
    return "ends affirming and fresh", _briefly(final, met=met), met


def _briefly(final: Standing | None, *, met: bool) -> str:
    """Without the reasons where they explain nothing that was not expected."""
    return f"{final.status}, {final.freshness}" if final is not None and met else describe(final)


def _is_good(standing: Standing) -> bool:
    return standing.status is Tier.AFFIRMING and standing.freshness is Freshness.FRESH


def _last(later: Sequence[Standing]) -> str:
    return describe(later[-1]) if later else "no result since"
