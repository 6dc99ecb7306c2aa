"""Checks of the boot (Secure Boot, its keys, images, command line), as the policy asks and quoted PCRs vouch for."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from schemas.boot_log.command_line import COMMAND_LINE_PCR, arguments_of, load_options_digest
from schemas.boot_log.facts import IMAGES_PCR, SECURE_BOOT_PCR, SecureBoot
from schemas.hashes import SHA256
from schemas.reasons import Reason
from verifier_worker.core.checks.appraisal_input import AppraisalInput
from verifier_worker.core.finding import Finding
from verifier_worker.core.measured import boot_log_vouches

_CLAIM: Final = "kernel-command-line"  # of the agent, unproven


def secure_boot_is_as_required(given: AppraisalInput) -> Iterator[Finding]:
    """Secure Boot was enforced, without test keys. If PCR 7 does not show it, it is unknown."""
    policy, boot = given.policy, given.state.measured.boot
    if policy is None or not (policy.secure_boot or policy.no_test_keys):
        return
    if not _vouched(given, SECURE_BOOT_PCR) or boot.secure_boot is SecureBoot.UNKNOWN:
        yield Finding(reason=Reason.BOOT_UNKNOWN, detail="Secure Boot (PCR 7)")
        return
    if policy.secure_boot and boot.secure_boot is SecureBoot.DISABLED:
        yield Finding(reason=Reason.SECURE_BOOT_OFF)
    if policy.no_test_keys and boot.test_keys:
        yield Finding(reason=Reason.TEST_KEYS_ENROLLED)


def loaders_are_as_required(given: AppraisalInput) -> Iterator[Finding]:
    """PCR 4 was extended with listed boot images only."""
    policy, boot = given.policy, given.state.measured.boot
    if policy is None or not policy.loaders:
        return
    strongest = max(given.state.replay.banks, key=lambda bank: bank.size, default=None)
    if not _vouched(given, IMAGES_PCR) or not boot.images or boot.images_unknown or strongest is not SHA256:
        yield Finding(reason=Reason.BOOT_UNKNOWN, detail="boot images (PCR 4), by SHA-256")
        return
    for digest in boot.images:
        if digest not in policy.loaders:
            yield Finding(reason=Reason.BOOT_LOADER_UNEXPECTED, detail="boot image", digest=digest)
    more = boot.images_total - len(boot.images)
    if more > 0:
        yield Finding(reason=Reason.BOOT_LOADER_UNEXPECTED, detail=f"{more} boot images more than can be known")


def command_line_is_as_required(given: AppraisalInput) -> Iterator[Finding]:
    """The kernel's command line has each argument that the policy requires.

    The attester claims the text; the first digest of PCR 9 proves it. A boot aggregate covers PCR 9, so nothing has
    extended it after the kernel started.
    """
    policy, boot = given.policy, given.state.measured.boot
    if policy is None or not policy.arguments:
        return
    strongest = max(given.state.replay.banks, key=lambda bank: bank.size)
    text = given.state.claims.get(_CLAIM)
    is_proven = _vouched(given, COMMAND_LINE_PCR)
    if not isinstance(text, str) or boot.load_options != load_options_digest(text, strongest) or not is_proven:
        yield Finding(reason=Reason.BOOT_UNKNOWN, detail=f"kernel command line (PCR {COMMAND_LINE_PCR})")
        return
    arguments = arguments_of(text)
    for pattern in policy.arguments:
        if not any(fnmatchcase(argument, pattern) for argument in arguments):
            yield Finding(reason=Reason.KERNEL_ARGUMENT_MISSING, detail=pattern)


def _vouched(given: AppraisalInput, index: int) -> bool:
    return boot_log_vouches(given.state.measured, given.state.replay.banks, given.state.selection, index)
