"""Replay where it is not known yet what the kernel extends into each bank (``ImaBankMode``): the list does not say.

The first quote that tells decides, bank by bank: the hashed template data are tried first, then the padded SHA-1. Until
it comes, as while a long list arrives in parts, the state carries both. Once it has come, this is ``log_replay.Replay``
and costs the same.
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
    """Increments replayed over a state, under each assumption about banks that is still open.

    Attributes:
        next_index: by log name, the index after the last entry of the increments.
    """

    __slots__ = ("_hashed", "_increments", "_open", "_start", "next_index")

    def __init__(self, state: ReplayState, increments: Mapping[str, bytes]) -> None:
        """Parses and replays; arguments and errors are those of :class:`schemas.replay.log_replay.Replay`."""
        self._start: Final = state
        self._increments: Final = increments
        self._open: Final = _open_banks(state, started=IMA in increments)
        self._hashed: Final = Replay(state, increments)
        self.next_index: Final = self._hashed.whole.state.next_index

    @property
    def whole(self) -> Replayed:
        """After every entry. Mere claims until a quote is found in it or in what follows."""
        whole = self._hashed.whole
        if not self._open or not self._increments:
            return whole
        return replace(whole, state=replace(whole.state, padded=self._padded(self._open, self._increments)))

    def until(self, quoted: Quoted, unlogged: PcrValues = _NO_VALUES) -> Replayed | None:
        """The longest prefix of the increments that reproduces a quote; see ``Replay.until``.

        Returns:
            None when none does, whatever is assumed. What the quote does not tell stays open.
        """
        for padded in _subsets(self._open):
            replay = Replay(self._assume(padded), self._increments) if padded else self._hashed
            found = replay.until(quoted, unlogged)
            if found is not None:
                return self._decided(found, padded, quoted.selection) if self._open else found
        return None

    def _decided(self, found: Replayed, padded: Sequence[HashAlgorithm], selection: PcrSelection) -> Replayed:
        """``found`` with what its quote told of the open banks, all of which were hashed but ``padded``."""
        untold = [bank for bank in self._open if not self._tells(bank, found, selection)]
        parts = {name: self._increments[name][: part.size] for name, part in found.consumed.items()}
        modes = {**self._start.ima_bank_modes, **dict.fromkeys(padded, ImaBankMode.PADDED_SHA1)}
        both = self._padded(untold, parts) if untold and found.state.next_index.get(IMA, 0) else {}
        return replace(found, state=replace(found.state, ima_bank_modes=modes, padded=both))

    def _tells(self, bank: HashAlgorithm, found: Replayed, selection: PcrSelection) -> bool:
        """Whether the quote would have been another one under the other assumption about ``bank``."""
        selected = {index for each, index in selection if each == bank}
        hashed = self._start.registers.get(bank, {})
        if any(
            hashed[index] != value for index, value in self._start.padded.get(bank, {}).items() if index in selected
        ):
            return True
        part = found.consumed.get(IMA)
        if part is None or part.ima is None:
            return False
        rows = zip(part.ima.pcr_indices[: part.count], part.ima.violations(part.count), strict=True)
        return any(index in selected and not violation for index, violation in rows)

    def _padded(self, banks: Sequence[HashAlgorithm], increments: Mapping[str, bytes]) -> Registers:
        """``ReplayState.padded`` of these banks after the increments."""
        registers = Replay(self._assume(banks), increments).whole.state.registers
        return {bank: registers.get(bank, {}) for bank in banks}

    def _assume(self, padded: Sequence[HashAlgorithm]) -> ReplayState:
        """The start if the kernel pads in these of the open banks, and in no other of them."""
        start = self._start
        modes = {bank: ImaBankMode.PADDED_SHA1 if bank in padded else ImaBankMode.HASHED for bank in self._open}
        registers = {bank: start.padded[bank] for bank in padded if bank in start.padded}
        return replace(
            start, ima_bank_modes={**start.ima_bank_modes, **modes}, registers={**start.registers, **registers}
        )


def _open_banks(state: ReplayState, *, started: bool) -> tuple[HashAlgorithm, ...]:
    """The banks of which no quote has told yet whether the kernel pads in them."""
    if state.next_index.get(IMA, 0):
        return tuple(state.padded)
    candidates = (bank for bank in state.banks if bank != SHA1 and bank not in state.ima_bank_modes)
    return tuple(candidates) if started else ()


def _subsets(banks: Sequence[HashAlgorithm]) -> Iterator[tuple[HashAlgorithm, ...]]:
    """Smaller ones first: what a quote does not tell is taken to be hashed."""
    return itertools.chain.from_iterable(itertools.combinations(banks, size) for size in range(len(banks) + 1))
