"""How an attester's state continues when reference values get another version (ADR 10).

PCR values are in the state, so the new reference values judge them at the next push. Of files the state has only the
unexpected ones. If files were only added to the reference values, all other files stay acceptable and the unexpected
ones are judged again. If files were removed, only the log itself shows which attester ran them. Each attester is asked
for it at its own time within ``remeasure_s``. Until then the old values judge its old files, and the new values judge
the files that it runs from now on. An attester that has not sent a baseline by then is reset, and its verdict is
undecided.
"""

from dataclasses import dataclass, replace
from typing import Final

from schemas.identifiers import Ueid
from verifier_worker.core.state import AttesterState
from verifier_worker.core.trust import Trust, label_of

_SHARES: Final = 4096
_ASKED_PARTS, _PARTS = 3, 4  # all are asked within three quarters of the time; the last quarter is for answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """The state to continue with, and whether to ask the attester for a baseline."""

    state: AttesterState
    ask: bool


def carry_over(state: AttesterState, ueid: Ueid, trust: Trust, now_us: int) -> Succession | None:
    """Carries a state over to the policy and reference values in force now.

    Args:
        state: judged under another label.
        ueid: the attester.
        trust: in force now.
        now_us: receipt of the push, UTC microseconds.

    Returns:
        None if everything must be measured again. A state whose attester is asked for a baseline keeps its old label.
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
    share = int.from_bytes(ueid, "big") % _SHARES
    asked_us = ended_us + policy.remeasure_us * share * _ASKED_PARTS // (_SHARES * _PARTS)
    return Succession(state=replace(state, appraised=None), ask=now_us >= asked_us)


def _widened(state: AttesterState, trust: Trust) -> Succession:
    """Judges the unexpected files again, after files were only added; only possible if all of them are listed.

    A file that is still unexpected may be acceptable for a reason that the state does not show, such as a signature by
    a new key. So the attester is asked for a baseline, and its verdict stays until it answers.
    """
    measured = state.measured
    left = measured.unexpected
    if len(left) == measured.unexpected_total:
        left = tuple((digest, path) for digest, path in left if digest not in trust.references.files)
    total = measured.unexpected_total - (len(measured.unexpected) - len(left))
    label = label_of(trust) if total == 0 else measured.label
    measured = replace(measured, label=label, unexpected=left, unexpected_total=total)
    return Succession(state=replace(state, measured=measured, appraised=None), ask=total > 0)
