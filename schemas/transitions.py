"""The kinds of transition of a machine: the values of the event ``state_trans`` (CEL 1.1), which evidence uses too."""

from enum import IntEnum


class TransitionKind(IntEnum):
    """How a machine goes on: after a suspend, after a hibernation, with another kernel."""

    SUSPEND = 0
    HIBERNATE = 1
    KEXEC = 2
