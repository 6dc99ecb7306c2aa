"""Replay of log increments to the PCR values that a quote has signed. Attester and verifier use the same.

The quote comes first, the logs are read after it, and a log is never behind its PCR: so some prefix of what was read
reproduces the quoted digest, and what is beyond belongs to a later quote (DESIGN 5).

Invariants: a :class:`ReplayState` never changes; replaying a log in any increments gives the state of replaying it at
once; a state that :meth:`Replay.until` returns has the target as its PCR digest. A PCR that any entry has extended is
*owned* by the logs: a value sent beside the logs never stands in for it. A PCR that is neither owned nor sent has its
initial value.

Cost: hashing is linear in the increment. The search tries the longest prefix first, so it costs one digest when all
entries belong to the quote, and one more for each entry beyond that touched a selected PCR.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from schemas import ima_log, limits, tcg2_log
from schemas.errors import PeerError
from schemas.hashes import HashAlgorithm
from schemas.ima_log import ImaBankMode, ImaRecords
from schemas.pcr import PcrSelection, PcrValues, initial_value
from schemas.reasons import Reason
from schemas.tcg2_log import Tcg2Event, Tcg2Format

MAX_PREFIXES_TRIED: Final = 8192  # digests one search may cost (about 10 ms), whatever the increments hold

Registers = Mapping[HashAlgorithm, Mapping[int, bytes]]
_NO_REGISTERS: Final[Registers] = MappingProxyType({})
_NO_VALUES: Final = PcrValues({})
_ORDER: Final = {"tcg2": 0, "ima": 1, "cel": 2}  # firmware is done before the kernel starts, the kernel before services


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayState:
    """What is left of all log entries so far.

    Attributes:
        banks: the banks to replay.
        ima_bank_mode: of the attester's kernel.
        registers: bank to index to value, of the PCRs that the logs own. Treat as read-only.
        next_index: by log name, the index of the first entry not replayed yet; 0 for a log not named.
        tcg2_format: of the boot log; None before its entry 0.
        startup_locality: how PCR 0 started, as the boot log says.
    """

    banks: tuple[HashAlgorithm, ...]
    ima_bank_mode: ImaBankMode = ImaBankMode.HASHED
    registers: Registers = _NO_REGISTERS
    next_index: Mapping[str, int] = field(default_factory=dict)
    tcg2_format: Tcg2Format | None = None
    startup_locality: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """How much of one log's increment was replayed.

    Attributes:
        count: entries.
        size: bytes of these entries.
        events: the entries, of a boot log.
        ima: the columns of the *whole* increment, of an IMA list: ask it for ``files(count)``.
    """

    count: int
    size: int
    events: tuple[Tcg2Event, ...] = ()
    ima: ImaRecords | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The state after some prefix of each increment, and how long these are by log name."""

    state: ReplayState
    consumed: Mapping[str, Consumed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """What a quote says of PCRs: the selection and digest that it signs, and the hash of its signing scheme."""

    selection: PcrSelection
    digest: bytes
    algorithm: HashAlgorithm


class Replay:
    """Increments replayed over a state, all of them; :meth:`until` finds how far a quote reaches.

    Attributes:
        whole: the state after every entry. Owed by nothing but the logs until a quote is found in it or after it.
    """

    __slots__ = ("_logs", "_start", "whole")

    def __init__(self, state: ReplayState, increments: Mapping[str, bytes]) -> None:
        """Parses and replays.

        Args:
            state: before the increments.
            increments: by log name, whole entries from ``state.next_index`` on.

        Raises:
            PeerError: ``log-malformed``; ``too-large`` for a log with too many entries or bytes.
        """
        self._start: Final = state
        self._logs: Final[list[_Log]] = []
        registers = {bank: dict(state.registers.get(bank, {})) for bank in state.banks} if increments else {}
        tcg2_format, locality = state.tcg2_format, state.startup_locality
        for name in sorted(increments, key=lambda each: (_ORDER.get(each.partition("/")[0], len(_ORDER)), each)):
            if name.startswith("ima"):
                log = _read_ima(name, increments[name], state)
            else:
                log, tcg2_format = _read_tcg2(name, increments[name], replace(state, tcg2_format=tcg2_format))
                locality = _locality(locality, 0 in _owned(registers), log.events)
            _check_count(name, state.next_index.get(name, 0) + len(log.indices))
            log.chain(registers, locality)
            self._logs.append(log)
        self.whole: Final = (
            self._prefix([len(log.indices) for log in self._logs], registers)
            if increments
            else Replayed(state=state, consumed={})
        )

    def until(self, quoted: Quoted, unlogged: PcrValues = _NO_VALUES) -> Replayed | None:
        """The longest prefix of the increments that reproduces a quote.

        Args:
            quoted: what the quote signs.
            unlogged: values sent beside the logs; ignored for PCRs that the logs own.

        Returns:
            None when no prefix does. ``count`` entries that extended only PCRs outside the selection are consumed
            with the others, but no quote speaks for them: look at their PCR.
        """
        search = _Search(self, quoted, unlogged)
        counts = search.longest()
        if counts is None:
            return None
        if all(count == len(log.indices) for count, log in zip(counts, self._logs, strict=True)):
            return self.whole
        return self._prefix(counts, None)
