"""The input of an appraisal check."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from schemas.messages.handle import Handle
from verifier_worker.core.finding import Finding
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.core.state import AttesterState
from verifier_worker.core.statements import Current
from verifier_worker.core.trust import References


@dataclass(frozen=True, slots=True, kw_only=True)
class AppraisalInput:
    """The state after the push, and the trust in force when it was received.

    Attributes:
        state: after the push; ``made_after_us`` is set if the handle is known.
        handle: of the sync proof; None if unknown.
        policy: for the attester's group, if any.
        references: merged reference values.
        conflict: the policies that equally claim the attester's group; then ``policy`` is None.
        missing: the policy that the group should have; then ``policy`` is None.
        current: until when the trust in all of this is current.
        group: of the attester, by its endorsement.
        genuine: the endorsement states how its key was proven to be in a manufacturer's TPM.
    """

    state: AttesterState
    handle: Handle | None
    policy: AppraisalPolicy | None
    references: References
    conflict: str
    missing: str
    current: Current
    group: str
    genuine: bool


Check: TypeAlias = Callable[[AppraisalInput], Iterator[Finding]]
