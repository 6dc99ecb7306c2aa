"""What becomes of an attester's state when reference values get another version (ADR 10).

PCR values are in the state: they are judged by the new values at the next push, whatever changed. Of files the state
keeps only what was unexpected. So while files are only added, what was good stays good and the few recorded ones are
judged anew. Where files were taken away only the log itself tells who ran them: each attester is asked for it at its
own time within ``remeasure_s``, and until then is judged as before, but for what it runs from now on. Who has not
answered by the end starts over, undecided.
"""

from dataclasses import dataclass, replace
from typing import Final

from schemas.identifiers import Ueid
from verifier_worker.core.state import AttesterState
from verifier_worker.core.trust import Trust, label_of

_SHARES: Final = 4096
_ASKED_PARTS, _PARTS = 3, 4  # everyone is asked within three quarters of the time, and has the rest to answer in


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """How to go on: with which state, and whether to ask for a baseline."""

    state: AttesterState
    ask: bool = False


def carry_over(state: AttesterState, ueid: Ueid, trust: Trust, now_us: int) -> Succession | None:
    """The state to go on with after its label has become another one.

    Args:
        state: appraised under other values.
        ueid: the attester.
        trust: in force now.
        now_us: receipt of the push, UTC microseconds.

    Returns:
        None when everything must be measured again. A state that is asked for a baseline keeps its old label.
    """
    policy, references = trust.policy, trust.references
    if policy is None or references.missing:
        return None
    applied, _, earlier = state.measured.label.partition(" ")
    if applied != policy.measures:
        return None
    if earlier in references.narrower:
        return _widened(state, trust)
    ended_us = references.ended.get(earlier)
    if ended_us is None or not ended_us <= now_us < ended_us + policy.remeasure_us:  # before: our clock was set back
        return None
    share = int.from_bytes(ueid[-2:], "big") % _SHARES
    asked_us = ended_us + policy.remeasure_us * share * _ASKED_PARTS // (_SHARES * _PARTS)
    return Succession(state=replace(state, appraised=None), ask=now_us >= asked_us)


def _widened(state: AttesterState, trust: Trust) -> Succession:
    """Files were only added: those recorded as unexpected are judged anew, if all of them are recorded.

    What is left may be acceptable for a reason that the record does not hold, such as a signature by a new key: the
    attester is asked, and stays what it is until it answers.
    """
    measured = state.measured
    left = measured.unexpected
    if len(left) == measured.unexpected_total:
        left = tuple((digest, path) for digest, path in left if digest not in trust.references.files)
    total = measured.unexpected_total - (len(measured.unexpected) - len(left))
    label = label_of(trust) if total == 0 else measured.label
    measured = replace(measured, label=label, unexpected=left, unexpected_total=total)
    return Succession(state=replace(state, measured=measured, appraised=None), ask=total > 0)
