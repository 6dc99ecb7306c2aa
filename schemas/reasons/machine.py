"""Reasons about the machine that a service runs on, and the broker."""

from typing import Final

from schemas.reasons.codes import Reason
from schemas.reasons.row import ReasonRow

MACHINE: Final = (
    ReasonRow(
        Reason.BROKER_UNREACHABLE,
        "the broker cannot be reached",
        "see whether the broker runs and the network is up",
        lasts=True,
    ),
    ReasonRow(
        Reason.BROKER_REFUSED,
        "the broker refused the connection",
        "look at the user name, the password and the broker's access list",
        lasts=True,
    ),
    ReasonRow(
        Reason.TPM_UNREACHABLE,
        "the TPM does not answer",
        "see whether the device file exists and may be opened",
        lasts=True,
    ),
    ReasonRow(Reason.TPM_BUSY, "the TPM is busy", "nothing: it is asked again", lasts=True),
    ReasonRow(
        Reason.TPM_LOCKED_OUT,
        "the TPM has locked itself against guessing",
        "wait for its lockout time, or reset the lockout",
        lasts=True,
    ),
    ReasonRow(
        Reason.TPM_FATAL, "the TPM is in failure mode", "reboot the device; replace the TPM if it stays", lasts=True
    ),
    ReasonRow(
        Reason.LOG_UNREADABLE,
        "a measurement log cannot be read",
        "see whether the agent may read that file",
        lasts=True,
    ),
    ReasonRow(
        Reason.STORE_UNAVAILABLE,
        "the disk or database refuses data that must be stored",
        "look at free space and permissions",
        lasts=True,
    ),
    ReasonRow(
        Reason.CONFIGURATION_INVALID, "the configuration is wrong", "mend the field that the message names", lasts=True
    ),
)
