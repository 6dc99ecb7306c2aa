"""Replays IMA lists while it is still unknown whether the kernel extends a bank with its own hash or with padded SHA-1.

The list itself does not say (``ImaBankMode``). The first quote that depends on it decides, bank by bank; the bank's own
hash is tried first. Until then, for instance while a long list arrives in parts, the bank is *undecided* and the state
carries both replays of it. With no undecided bank this does what ``log_replay.Replay`` does, at the same cost.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from schemas.hashes import SHA1, HashAlgorithm
from schemas.ima.records import ImaBankMode
from schemas.replay.log_replay import IMA, Quoted, Registers, Replay, Replayed, ReplayState
from schemas.tpm.pcr import PcrSelection, PcrValues

_NO_VALUES: Final = PcrValues({})


class BankReplay:
    """Increments replayed over a state, with both modes of each undecided bank.

    Attributes:
        next_index: by log name, the index after the last entry of the increments.
    """

    __slots__ = ("_hashed", "_increments", "_start", "_undecided", "next_index")

    def __init__(self, state: ReplayState, increments: Mapping[str, bytes]) -> None:
        """Parses and replays. Takes and raises the same as :class:`schemas.replay.log_replay.Replay`."""
        self._start: Final = state
        self._increments: Final = increments
        self._undecided: Final = _undecided_banks(state, has_list=IMA in increments)
        self._hashed: Final = Replay(state, increments)
        self.next_index: Final = self._hashed.whole.state.next_index

    @property
    def whole(self) -> Replayed:
        """The state after every entry. Only claims, until a quote confirms it or a later state."""
        whole = self._hashed.whole
        if not self._undecided:
            return whole
        return replace(whole, state=replace(whole.state, padded=self._padded(self._undecided, self._increments)))

    def until(self, quoted: Quoted, unlogged: PcrValues = _NO_VALUES) -> Replayed | None:
        """Finds the longest prefix of the increments that reproduces a quote; see ``Replay.until``.

        Banks on which the quote does not depend stay undecided.

        Returns:
            None if no prefix reproduces the quote in any combination of modes.
        """
        for padded in _subsets(self._undecided):
            replay = Replay(self._assume(padded), self._increments) if padded else self._hashed
            found = replay.until(quoted, unlogged)
            if found is not None:
                return self._decided(found, padded, quoted.selection)
        return None

    def _decided(self, found: Replayed, padded: Sequence[HashAlgorithm], selection: PcrSelection) -> Replayed:
        """Adds to ``found`` the modes that its quote decided: ``padded`` was assumed padded, the other banks hashed."""
        still = [bank for bank in self._undecided if not self._depends(found, bank, selection)]
        parts = {name: self._increments[name][: part.size] for name, part in found.consumed.items()}
        modes = {**self._start.ima_bank_modes, **dict.fromkeys(padded, ImaBankMode.PADDED_SHA1)}
        registers = self._padded(still, parts) if still and found.state.next_index.get(IMA) else {}
        return replace(found, state=replace(found.state, ima_bank_modes=modes, padded=registers))

    def _depends(self, found: Replayed, bank: HashAlgorithm, selection: PcrSelection) -> bool:
        """Whether the quoted digest depends on the mode of ``bank``."""
        selected = {index for each, index in selection if each == bank}
        start = self._start
        padded = start.padded.get(bank, {})
        if any(start.registers[bank][index] != value for index, value in padded.items() if index in selected):
            return True
        part = found.consumed.get(IMA)
        if part is None or part.ima is None:
            return False
        rows = zip(part.ima.pcr_indices[: part.count], part.ima.violations(part.count), strict=True)
        return any(index in selected and not violation for index, violation in rows)

    def _padded(self, banks: Sequence[HashAlgorithm], increments: Mapping[str, bytes]) -> Registers:
        """``ReplayState.padded`` of these banks after these increments."""
        registers = Replay(self._assume(banks), increments).whole.state.registers
        return {bank: registers.get(bank, {}) for bank in banks}

    def _assume(self, padded: Sequence[HashAlgorithm]) -> ReplayState:
        """The start state, if the kernel pads exactly these of the undecided banks."""
        start = self._start
        modes = {bank: ImaBankMode.PADDED_SHA1 if bank in padded else ImaBankMode.HASHED for bank in self._undecided}
        registers = {bank: start.padded[bank] for bank in padded if bank in start.padded}
        return replace(
            start, ima_bank_modes={**start.ima_bank_modes, **modes}, registers={**start.registers, **registers}
        )


def _undecided_banks(state: ReplayState, *, has_list: bool) -> tuple[HashAlgorithm, ...]:
    """The banks whose mode is neither configured nor decided by a quote."""
    if state.next_index.get(IMA):
        return tuple(state.padded)
    candidates = (bank for bank in state.banks if bank != SHA1 and bank not in state.ima_bank_modes)
    return tuple(candidates) if has_list else ()


def _subsets(banks: Sequence[HashAlgorithm]) -> Iterator[tuple[HashAlgorithm, ...]]:
    """All subsets, smaller ones first: so a bank on which the quote does not depend is assumed hashed."""
    return itertools.chain.from_iterable(itertools.combinations(banks, size) for size in range(len(banks) + 1))
