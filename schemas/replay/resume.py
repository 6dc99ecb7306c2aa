"""What a resume does to a replay: PCRs from 16 on lose their values, and CEL logs of theirs begin anew.

TPM2_Shutdown(STATE) saves PCRs 0 to 15 alone (PC Client Platform TPM Profile, "PCR Attributes"). The restart count,
which every quote signs, tells attester and verifier that it happened. A log of PCRs that are lost has nothing left to
explain; its writer starts it again from index 0, and so that this is unambiguous it holds no other PCRs.
"""

from collections.abc import Collection
from dataclasses import replace

from schemas.replay.log_replay import ReplayState
from schemas.tpm.pcr import SAVED_PCRS


def resumed(state: ReplayState, lost_logs: Collection[str]) -> ReplayState:
    """The replay after a resume.

    Args:
        state: before it.
        lost_logs: names of the logs that extended PCRs that are not saved.
    """
    registers = {
        bank: {index: value for index, value in values.items() if index in SAVED_PCRS}
        for bank, values in state.registers.items()
    }
    return replace(
        state,
        registers={bank: values for bank, values in registers.items() if values},
        next_index={name: index for name, index in state.next_index.items() if name not in lost_logs},
    )
