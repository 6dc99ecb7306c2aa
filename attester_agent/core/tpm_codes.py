"""Maps return codes of the TPM and the TCG software stack to an action and a reason code.

Source: TPM 2.0 Part 2, "TPM_RC"; TCG TSS 2.0 Overview, "Response code layers".
"""

from enum import StrEnum
from typing import Final

from schemas.reasons import Reason

FORMAT_ONE: Final = 0x080  # Part 2, "TPM_RC": the code is about a handle, session or parameter
_FORMAT_ONE_NUMBER: Final = 0x03F
_LAYER_SHIFT: Final = 16
_LAYER_TPM: Final = 0
_LAYER_TCTI: Final = 10  # TSS2_TCTI_RC_LAYER
_LAYERS_RESOURCE_MANAGER: Final = (11, 12)  # TSS2_RESMGR_RC_LAYER, TSS2_RESMGR_TPM_RC_LAYER: a TPM's code, relayed

RC_INITIALIZE: Final = 0x100
RC_RETRY: Final = 0x922
RC_YIELDED: Final = 0x908
RC_TESTING: Final = 0x90A
RC_CANCELED: Final = 0x909
RC_NV_RATE: Final = 0x920
RC_LOCKOUT: Final = 0x921
RC_NV_UNAVAILABLE: Final = 0x923
RC_HIERARCHY: Final = 0x085
RC_AUTH_FAIL: Final = 0x08E
RC_BAD_AUTH: Final = 0x0A2
_MEMORY: Final = (0x901, 0x902, 0x903, 0x904, 0x905, 0x906)  # contexts, objects, sessions, memory, both kinds of handle

_TRANSIENT: Final = frozenset({RC_RETRY, RC_YIELDED, RC_TESTING, RC_CANCELED, RC_NV_RATE, RC_NV_UNAVAILABLE, *_MEMORY})
_CLOSED: Final = frozenset({RC_HIERARCHY, RC_AUTH_FAIL, RC_BAD_AUTH})


class Answer(StrEnum):
    """The action that a return code calls for."""

    RETRY = "retry"  # the TPM is busy with other users or with itself: the same command will work soon
    LOCKED_OUT = "locked-out"  # dictionary attack lockout: works again after the TPM's waiting time
    UNREACHABLE = "unreachable"  # there is no TPM, or it was not started
    FATAL = "fatal"  # the same command will fail again


REASONS: Final = {
    Answer.RETRY: Reason.TPM_BUSY,
    Answer.LOCKED_OUT: Reason.TPM_LOCKED_OUT,
    Answer.UNREACHABLE: Reason.TPM_UNREACHABLE,
    Answer.FATAL: Reason.TPM_FATAL,
}


def code_of(return_code: int) -> int | None:
    """The TPM's own code without handle, session and parameter numbers; None if the code is not from a TPM."""
    layer = return_code >> _LAYER_SHIFT
    if layer not in (_LAYER_TPM, *_LAYERS_RESOURCE_MANAGER):
        return None
    code = return_code & 0xFFFF
    return FORMAT_ONE | (code & _FORMAT_ONE_NUMBER) if code & FORMAT_ONE else code


def classify(return_code: int) -> Answer:
    """The action for a ``TSS2_RC``.

    Args:
        return_code: as libtss2 returns it: layer in bits 16 to 23, the layer's code below.
    """
    code = code_of(return_code)
    if code is None:
        return Answer.UNREACHABLE if return_code >> _LAYER_SHIFT == _LAYER_TCTI else Answer.FATAL
    if code in _TRANSIENT:
        return Answer.RETRY
    if code == RC_LOCKOUT:
        return Answer.LOCKED_OUT
    return Answer.UNREACHABLE if code == RC_INITIALIZE else Answer.FATAL


def is_hierarchy_closed(return_code: int) -> bool:
    """Whether the TPM refused because a hierarchy has an authorization value or is disabled."""
    return code_of(return_code) in _CLOSED
