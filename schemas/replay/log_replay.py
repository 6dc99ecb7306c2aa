"""Replay of log increments to the PCR values that a quote has signed. Attester and verifier use the same.

The quote comes first, the logs are read after it, and a log is never behind its PCR: so some prefix of what was read
reproduces the quoted digest, and what is beyond belongs to a later quote.

Invariants: a :class:`ReplayState` never changes; replaying a log in any increments gives the state of replaying it at
once; a state that :meth:`Replay.until` returns has the quoted PCR digest. A PCR that an entry has extended is *owned*
by the logs: a value sent beside them never stands in for it. A PCR that is neither owned nor sent has its initial
value.

Several logs may extend one PCR, each going on where the one before it ended: the boot log, then CEL logs (systemd goes
on in userspace with a PCR that its boot stub began), then IMA. So the earlier of them must not grow any more.

Cost: hashing is linear in the increment. The search (``prefix_search``) tries the longest prefix first: one digest when
all entries belong to the quote.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from schemas import limits
from schemas.boot_log import records as boot_records
from schemas.boot_log.records import BootEvent, BootLogFormat
from schemas.cel import in_cbor as cel_cbor
from schemas.cel.records import CelRecord, check_record
from schemas.errors import PeerError
from schemas.hashes import HashAlgorithm
from schemas.ima import records as ima_records
from schemas.ima.records import ImaBankMode, ImaRecords
from schemas.reasons import Reason
from schemas.replay.prefix_search import Steps, longest_prefixes
from schemas.tpm.pcr import PcrSelection, PcrValues, initial_value

TCG2: Final = "tcg2"
IMA: Final = "ima"
CEL: Final = "cel"  # the kind; a log's name is ``cel/<name>``

_ORDER: Final = (TCG2, CEL, IMA)  # firmware is done before anything else measures; by the kind of log
_NO_VALUES: Final = PcrValues({})

Registers: TypeAlias = Mapping[HashAlgorithm, Mapping[int, bytes]]
_Registers: TypeAlias = dict[HashAlgorithm, dict[int, bytes]]
_Slots: TypeAlias = Mapping[HashAlgorithm, Mapping[int, int]]  # where a selected PCR stands in the quote


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayState:
    """What is left of all log entries so far.

    Attributes:
        banks: the banks to replay.
        ima_bank_modes: what the attester's kernel extends into each bank; ``HASHED`` for a bank not named. Read-only.
        registers: bank to index to value of the PCRs that the logs own. Read-only.
        next_index: by log name, the index of the first entry not replayed yet; 0 for a log not named. Read-only.
        boot_log_format: of the boot log; None before its entry 0.
        startup_locality: how PCR 0 started, by the boot log.
        padded: by bank, the PCRs if the kernel pads in it, where no quote has told yet (``bank_replay``); kept by
            :class:`schemas.replay.bank_replay.BankReplay`, dropped by :class:`Replay`. Read-only.
    """

    banks: tuple[HashAlgorithm, ...]
    ima_bank_modes: Mapping[HashAlgorithm, ImaBankMode] = field(default_factory=dict)
    registers: Registers = field(default_factory=dict)
    next_index: Mapping[str, int] = field(default_factory=dict)
    boot_log_format: BootLogFormat | None = None
    startup_locality: int = 0
    padded: Registers = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """How much of one log's increment was replayed.

    Attributes:
        count: entries.
        size: bytes of these entries.
        events: these entries, of a boot log.
        cel: these entries, of a CEL log.
        ima: columns of the *whole* increment, of an IMA list: ask it for ``files(count)``.
    """

    count: int
    size: int
    events: tuple[BootEvent, ...] = ()
    cel: tuple[CelRecord, ...] = ()
    ima: ImaRecords | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The state after some prefix of each increment, and how long the prefixes are, by log name."""

    state: ReplayState
    consumed: Mapping[str, Consumed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """What a quote says of PCRs: the selection and digest that it signs, and the hash of its signing scheme."""

    selection: PcrSelection
    digest: bytes
    algorithm: HashAlgorithm


class Replay:
    """Increments replayed over a state: all of them, and by :meth:`until` as far as a quote reaches.

    Attributes:
        whole: after every entry. Mere claims until a quote is found in it or in what follows.
    """

    __slots__ = ("_logs", "_start", "whole")

    def __init__(self, state: ReplayState, increments: Mapping[str, bytes]) -> None:
        """Parses and replays.

        Args:
            state: before the increments.
            increments: by log name, whole entries from ``state.next_index`` on; ``tcg2``, ``ima`` and ``cel/<name>``.

        Raises:
            PeerError: ``log-malformed``; ``too-large`` for a log with too many entries or bytes.
        """
        self._start: Final = state
        self._logs: Final = [_read(name, increments[name], state) for name in sorted(increments, key=_place)]
        registers = _copied(state) if increments else {}
        locality = _locality(state, [event for log in self._logs for event in log.events])
        for log in self._logs:
            log.before = {bank: dict(values) for bank, values in registers.items()}
            log.extend(registers, locality)
        self.whole: Final = (
            self._replayed([len(log) for log in self._logs], registers)
            if increments
            else Replayed(state=state, consumed={})
        )

    def until(self, quoted: Quoted, unlogged: PcrValues = _NO_VALUES) -> Replayed | None:
        """The longest prefix of the increments that reproduces a quote.

        Entries that extended no selected PCR are consumed with those around them, but the quote does not speak for
        them. A log that a later one goes on from is only tried whole.

        Args:
            quoted: what the quote signs.
            unlogged: values sent beside the logs; ignored for PCRs that the logs own.

        Returns:
            None when no prefix reproduces it.
        """
        values = self._selected_values(quoted.selection, unlogged)
        if quoted.algorithm.new(b"".join(values)).digest() == quoted.digest:
            return self.whole
        if not self._logs:
            return None
        slots = _slots(quoted.selection)
        locality = self.whole.state.startup_locality
        undo: list[Steps] = []
        later: set[int] = set()  # selected PCRs that a later log goes on with
        for log in reversed(self._logs):
            touched = log.extended_indices() & {index for bank in slots.values() for index in bank}
            undo.insert(0, () if touched & later else log.undo_steps(slots, locality))
            later |= touched
        kept = longest_prefixes(undo, values, lambda each: quoted.algorithm.new(each).digest() == quoted.digest)
        if kept is None:
            return None
        counts = [len(log) if count is None else count for log, count in zip(self._logs, kept, strict=True)]
        registers = _copied(self._start)
        for log, count in zip(self._logs, counts, strict=True):
            log.copy_values(registers, count)
        return self._replayed(counts, registers)

    def _selected_values(self, selection: PcrSelection, unlogged: PcrValues) -> list[bytes]:
        """The selected PCRs after every entry, in digest order."""
        state = self.whole.state
        values = []
        for bank in selection.banks:
            owned = state.registers.get(bank.algorithm, {})
            for index in bank.indices:
                value = owned.get(index) or unlogged.get(bank.algorithm, index)
                values.append(value or initial_value(bank.algorithm, index, state.startup_locality))
        return values

    def _replayed(self, counts: Sequence[int], registers: _Registers) -> Replayed:
        """The result for ``counts`` entries of each log, after which the PCRs are ``registers``."""
        start = self._start
        next_index = dict(start.next_index)
        boot_log_format, locality = start.boot_log_format, start.startup_locality
        consumed = {}
        for log, count in zip(self._logs, counts, strict=True):
            if count:
                next_index[log.name] = next_index.get(log.name, 0) + count
            if log.name == TCG2 and count:
                boot_log_format = log.boot_log_format
                locality = _locality(start, log.events[:count])
            size = log.ends[count - 1] if count else 0
            consumed[log.name] = Consumed(
                count=count, size=size, events=log.events[:count], cel=log.cel[:count], ima=log.ima
            )
        state = ReplayState(
            banks=start.banks,
            ima_bank_modes=start.ima_bank_modes,
            registers={bank: values for bank, values in registers.items() if values},
            next_index=next_index,
            boot_log_format=boot_log_format,
            startup_locality=locality,
        )
        return Replayed(state=state, consumed=consumed)


@dataclass(slots=True, kw_only=True)
class _Log:
    """One increment as columns, a row an entry. Owned by one :class:`Replay`; :meth:`extend` fills ``after``.

    Attributes:
        name: of the log.
        ends: offset of the first byte after each entry.
        indices: the PCR of each entry.
        digests: what each entry extended into each replayed bank; None for nothing.
        before: the PCRs before the increment, and after those of the logs before this one.
        after: by bank, the value of the extended PCR after each entry; None where nothing was extended.
        boot_log_format: of a boot log.
        events: of a boot log.
        cel: of a CEL log.
        ima: of an IMA list.
    """

    name: str
    ends: Sequence[int]
    indices: Sequence[int]
    digests: Mapping[HashAlgorithm, Sequence[bytes | None]]
    before: Registers = field(default_factory=dict)
    after: dict[HashAlgorithm, list[bytes | None]] = field(default_factory=dict)
    boot_log_format: BootLogFormat | None = None
    events: tuple[BootEvent, ...] = ()
    cel: tuple[CelRecord, ...] = ()
    ima: ImaRecords | None = None

    def __len__(self) -> int:
        """Entries."""
        return len(self.indices)

    def extend(self, registers: _Registers, locality: int) -> None:
        """Replays all entries into ``registers``."""
        for bank, digests in self.digests.items():
            new = bank.new
            values = registers[bank]
            get = values.get
            after: list[bytes | None] = []
            append = after.append
            for index, digest in zip(self.indices, digests, strict=True):
                if digest is None:
                    append(None)
                    continue
                old = get(index)
                if old is None:
                    old = initial_value(bank, index, locality)
                values[index] = value = new(old + digest).digest()
                append(value)
            self.after[bank] = after

    def copy_values(self, registers: _Registers, count: int) -> None:
        """Brings ``registers`` from before the increment to after its first ``count`` entries."""
        for bank, after in self.after.items():
            values = registers[bank]
            for index, value in zip(self.indices[:count], after[:count], strict=True):
                if value is not None:
                    values[index] = value

    def extended_indices(self) -> set[int]:
        """The PCRs that its entries extended."""
        return {
            index
            for after in self.after.values()
            for index, value in zip(self.indices, after, strict=True)
            if value is not None
        }

    def undo_steps(self, slots: _Slots, locality: int) -> Steps:
        """What to set to go back from the end to each shorter prefix, last entry first.

        Args:
            slots: of the selected PCRs.
            locality: for the initial value of PCR 0.

        Returns:
            for each entry that extended a selected PCR: how many entries are before it, and the values then.
        """
        found: dict[int, list[tuple[int, bytes]]] = {}
        for bank in self.after.keys() & slots.keys():
            bank_slots = slots[bank]
            values = dict(self.before.get(bank, {}))
            for number, (index, value) in enumerate(zip(self.indices, self.after[bank], strict=True)):
                if value is None or index not in bank_slots:
                    continue
                old = values[index] if index in values else initial_value(bank, index, locality)
                found.setdefault(number, []).append((bank_slots[index], old))
                values[index] = value
        return sorted(found.items(), reverse=True)


def _read(name: str, data: bytes, state: ReplayState) -> _Log:
    read = {TCG2: _read_boot_log, IMA: _read_ima}.get(name)
    log = read(data, state) if read is not None else _read_cel(name, data, state)
    total = state.next_index.get(name, 0) + len(log)
    if total > limits.MAX_LOG_ENTRIES:
        raise PeerError(Reason.TOO_LARGE, f"log {name}: {total} entries, the limit is {limits.MAX_LOG_ENTRIES}")
    return log


def _read_boot_log(data: bytes, state: ReplayState) -> _Log:
    split = boot_records.split_records(data, state.boot_log_format)
    if split.rest:
        raise PeerError(Reason.LOG_MALFORMED, f"boot log: its last entry is cut short, {len(split.rest)} bytes")
    event_format = state.boot_log_format
    events = []
    ends = []
    end = 0
    for record in split.records:
        events.append(boot_records.parse_event(record, event_format))
        event_format = split.format
        end += len(record)
        ends.append(end)
    listed = [dict(event.digests) if event.extended else {} for event in events]
    return _Log(
        name=TCG2,
        ends=ends,
        indices=[event.pcr_index for event in events],
        digests={bank: [digests.get(bank.tpm_id) for digests in listed] for bank in state.banks},
        boot_log_format=split.format,
        events=tuple(events),
    )


def _read_ima(data: bytes, state: ReplayState) -> _Log:
    records = ima_records.read_records(data)
    return _Log(
        name=IMA,
        ends=records.ends,
        indices=records.pcr_indices,
        digests={
            bank: records.extensions(bank, state.ima_bank_modes.get(bank, ImaBankMode.HASHED)) for bank in state.banks
        },
        ima=records,
    )


def _read_cel(name: str, data: bytes, state: ReplayState) -> _Log:
    raw, rest = cel_cbor.split_records(data)
    if rest:
        raise PeerError(Reason.LOG_MALFORMED, f"log {name}: its last record is cut short, {len(rest)} bytes")
    records = tuple(map(cel_cbor.parse_record, raw))
    for record in records:
        check_record(record)
    listed = [dict(record.digests) if record.extended and record.pcr is not None else {} for record in records]
    return _Log(
        name=name,
        ends=list(itertools.accumulate(map(len, raw))),
        indices=[record.pcr or 0 for record in records],
        digests={bank: [digests.get(bank.tpm_id) for digests in listed] for bank in state.banks},
        cel=records,
    )


def _place(name: str) -> tuple[int, str]:
    """Where a log stands in the order of replay."""
    kind, separator, _ = name.partition("/")
    if kind not in _ORDER or bool(separator) != (kind == CEL):
        raise PeerError(Reason.LOG_MALFORMED, f"log {name!r}: expected {TCG2}, {IMA} or {CEL}/name")
    return _ORDER.index(kind), name


def _slots(selection: PcrSelection) -> _Slots:
    slots: dict[HashAlgorithm, dict[int, int]] = {}
    for slot, (bank, index) in enumerate(selection):
        slots.setdefault(bank, {})[index] = slot
    return slots


def _copied(state: ReplayState) -> _Registers:
    return {bank: dict(state.registers.get(bank, {})) for bank in state.banks}


def _locality(start: ReplayState, events: Sequence[BootEvent]) -> int:
    """The startup locality after ``events``: the last one named before anything was extended into PCR 0."""
    locality = start.startup_locality
    if any(0 in registers for registers in start.registers.values()):
        return locality
    replayed = {bank.tpm_id for bank in start.banks}
    for event in events:
        named = event.startup_locality
        locality = locality if named is None else named
        if event.extended and event.pcr_index == 0 and any(tpm_id in replayed for tpm_id, _ in event.digests):
            break
    return locality
