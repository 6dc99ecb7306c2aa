"""Checks whether the IMA list can show which programs ran (invariant I6).

Nothing in a list that is too short contradicts anything, so the list must show that the kernel measured: it holds the
attester agent, and the other files that the policy requires.
"""

from collections.abc import Iterator
from typing import Final

from schemas.ima.template import BOOT_AGGREGATE
from schemas.reasons import Reason
from schemas.replay.log_replay import IMA
from verifier_worker.core.checks.appraisal_input import AppraisalInput
from verifier_worker.core.finding import Finding

_MAX_DETAIL_CHARACTERS: Final = 256


def list_was_not_outlived(given: AppraisalInput) -> Iterator[Finding]:
    """The TPM was not reset while the kernel ran on: a hibernation.

    Programs that the kernel measured before still run. No PCR shows them any more, and the kernel measures no file
    twice. This lasts until the device reports a reboot.
    """
    if given.policy is not None and IMA in given.policy.logs and given.state.lasting.outlived_tpm:
        yield Finding(reason=Reason.IMA_LIST_OUTLIVED_TPM)


def list_holds_what_it_must(given: AppraisalInput) -> Iterator[Finding]:
    """The list holds the agent and each file that the policy requires, measured by the kernel that runs now."""
    policy, measured = given.policy, given.state.measured
    if policy is None or IMA not in policy.logs or not given.state.replay.next_index.get(IMA):
        return  # without an entry the list is missing: another check
    demands, seen = policy.ima, set(measured.seen)
    if demands.agent and seen.isdisjoint(demands.agent):
        yield Finding(reason=Reason.IMA_AGENT_MISSING, detail=" or ".join(demands.agent)[:_MAX_DETAIL_CHARACTERS])
    for pattern in demands.required:
        if pattern not in seen:
            yield Finding(reason=Reason.IMA_FILE_MISSING, detail=pattern)


def boot_aggregate_is_of_the_quoted_pcrs(given: AppraisalInput) -> Iterator[Finding]:
    """The IMA list and the quoted PCRs are of the same boot."""
    if given.state.measured.aggregate_differs:
        yield Finding(reason=Reason.BOOT_AGGREGATE_MISMATCH, detail=BOOT_AGGREGATE.decode())
    if given.state.measured.aggregate_unverified:
        yield Finding(reason=Reason.BOOT_AGGREGATE_UNVERIFIED, detail=BOOT_AGGREGATE.decode())
