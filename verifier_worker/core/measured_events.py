"""Selects the entries of CEL logs that need a reference value: entries of PCRs that the policy gives to the log.

An entry is judged by a digest that the quote binds. For our own records, whose content is what the PCR was extended
with, this is the file's digest; for others, the record's digest in a quoted bank. An entry that extended no quoted bank
is ignored: nothing proves it.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from schemas.boot_log.records import BootEvent
from schemas.cel.records import ApplicationContent, CelRecord, SystemdContent, is_content_bound
from schemas.hashes import HashAlgorithm
from schemas.replay.log_replay import CEL, TCG2, Consumed

MAX_NAME_CHARACTERS: Final = 256  # of a path or of an entry's name, in findings
_ENDS_WITH_A_LOG: Final = re.compile(rf"[( ](?:{CEL}/[^()]*|{TCG2})\)\Z")


def events_to_judge(
    name: str,
    consumed: Consumed,
    registers: Collection[tuple[HashAlgorithm, int]],
    explained: Mapping[str, frozenset[int]],
) -> Iterator[tuple[tuple[bytes, ...], str]]:
    """Selects the entries of one log that need a reference value.

    From a CEL log: the entries of PCRs that the policy gives to it. From the boot log: the events of PCRs that the
    policy gives to a CEL log, since otherwise an application's entry could pass as the firmware's.

    Args:
        name: of the log.
        consumed: its entries.
        registers: PCRs that the quote covers.
        explained: the policy's PCRs, by log.

    Yields:
        Digests, one of which must be acceptable, and a name for the entry.
    """
    for record in consumed.cel:
        if record.extended and record.pcr in explained.get(name, ()):
            digests = _quoted(record.digests, record.pcr, registers)
            if digests:
                yield _judged(record, digests), _text(name, record)
    if name != TCG2:
        return
    given = frozenset[int]().union(*(indices for log, indices in explained.items() if log.startswith(f"{CEL}/")))
    for event in consumed.events:
        if event.extended and event.pcr_index in given:
            digests = _quoted(event.digests, event.pcr_index, registers)
            if digests:
                yield digests, _event_text(name, event)


def may_name_an_event(text: str) -> bool:
    """Whether a name in a finding may be one that :func:`events_to_judge` gave, and not a path of the IMA list.

    An entry of a CEL log may be called by a path. Its name ends with the log, unless it was too long and is cut short.
    """
    return len(text) >= MAX_NAME_CHARACTERS or _ENDS_WITH_A_LOG.search(text) is not None


def _quoted(
    digests: tuple[tuple[int, bytes], ...], index: int | None, registers: Collection[tuple[HashAlgorithm, int]]
) -> tuple[bytes, ...]:
    """The entry's digest in the strongest quoted bank; nothing if it has no digest in any quoted bank.

    If it has a digest in another quoted bank only, returns ``b""``, which matches no reference value. Banks are
    extended one by one, so an acceptable digest in one bank proves nothing about the others.
    """
    banks = {bank.tpm_id: bank.size for bank, selected in registers if selected == index}
    by_bank = {tpm_id: digest for tpm_id, digest in digests if tpm_id in banks}
    return (by_bank.get(max(banks, key=lambda each: banks[each]), b""),) if by_bank else ()


def _judged(record: CelRecord, digests: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (record.content.digest,) if isinstance(record.content, ApplicationContent) else digests


def _text(log: str, record: CelRecord) -> str:
    """Names the entry; by its content only if the PCR binds that."""
    match record.content if is_content_bound(record) else None:
        case ApplicationContent(event_type=event_type, name=name):
            return f"{name} ({event_type}, {log})"
        case SystemdContent(string=str(text)):
            return f"{text} ({log})"
        case _:
            return f"entry {record.recnum} of PCR {record.pcr} ({log})"


def _event_text(log: str, event: BootEvent) -> str:
    return f"event {event.event_type:#x} of PCR {event.pcr_index} ({log})"
