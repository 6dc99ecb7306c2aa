"""What a resume does to a replay: PCRs 16 to 23 lose their values, and the CEL logs of these PCRs start again.

TPM2_Shutdown(STATE) saves only PCRs 0 to 15 (PC Client Platform TPM Profile, "PCR Attributes"). Attester and verifier
see a resume in the restart count, which every quote signs. A log that extended a lost PCR has nothing left to explain:
its writer starts it again at index 0. Such a log may hold no saved PCR, otherwise this would be ambiguous.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from schemas.replay.log_replay import ReplayState
from schemas.tpm.pcr_properties import SAVED_PCRS


def resumed(state: ReplayState, lost_logs: Collection[str]) -> ReplayState:
    """The replay after a resume.

    Args:
        state: the replay before it.
        lost_logs: names of the logs that extended PCRs 16 to 23.
    """
    registers = {bank: _saved(values) for bank, values in state.registers.items()}
    return replace(
        state,
        registers={bank: values for bank, values in registers.items() if values},
        padded={bank: _saved(values) for bank, values in state.padded.items()},
        next_index={name: index for name, index in state.next_index.items() if name not in lost_logs},
    )


def _saved(registers: Mapping[int, bytes]) -> dict[int, bytes]:
    return {index: value for index, value in registers.items() if index in SAVED_PCRS}
