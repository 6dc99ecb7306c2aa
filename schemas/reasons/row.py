"""One row of the table of reasons: everything about one code."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Final

from schemas.reasons.codes import Reason
from schemas.verdicts import Freshness, TrustClaim, Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The effect of a reason on a verdict.

    Attributes:
        values: claims of the trust vector that it sets, if worse than they were (AR4SI, 2.3.4): 96 contraindicated, 33
            unrecognised executables, 32 unrecognised files or configuration.
        undecided: nothing can be affirmed.
        freshness: the freshness that it sets, None to leave it as it is.
    """

    values: Mapping[TrustClaim, int] = field(default_factory=dict)
    undecided: bool = False
    freshness: Freshness | None = None


UNDECIDED: Final = Effect(undecided=True)
PENDING: Final = Effect(undecided=True, freshness=Freshness.PENDING)
STALE: Final = Effect(undecided=True, freshness=Freshness.STALE)
UNSYNCHRONISED: Final = Effect(undecided=True, freshness=Freshness.UNSYNCHRONISED)
CONTRADICTED: Final = Effect(undecided=True, freshness=Freshness.CONTRADICTED)


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """A reason code in words, and its effect.

    Attributes:
        code: the code.
        meaning: for people, a sentence without a full stop. It claims no more than ``docs/threat-model.md`` does.
        next_step: what to do, likewise; it names what to look at first.
        lasts: True for a state, which is reported as long as it holds; False for an event, which is reported once.
        effect: on a verdict, unless a policy gives the code another weight; None if it has none.
        reported_only: a result may list it, but it changes no verdict by itself.
        least_weight: the least weight that a policy may give it; None if no policy may choose. If the reason makes a
            claim of the trust vector untrue, it must weigh something; else the vector would state what nobody checked.
        listed: a result lists the paths, PCRs, rules or policies that the reason is about.
    """

    code: Reason
    meaning: str
    next_step: str
    _: KW_ONLY
    lasts: bool = False
    effect: Effect | None = None
    reported_only: bool = False
    least_weight: Weight | None = None
    listed: bool = False

    @property
    def claims(self) -> tuple[TrustClaim, ...]:
        """The claims of the trust vector that it sets."""
        return tuple(self.effect.values) if self.effect is not None else ()
