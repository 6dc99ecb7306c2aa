"""What CEL logs measured, as far as a policy gives PCRs to them: files and events that need a reference value.

An entry counts by a digest that the quote binds: the file's, where the record's content is what the PCR was extended
with (our own records), else the record's digest of a quoted bank. What no quoted bank was extended with is passed over:
it is the attester's word and no measurement.
"""

from collections.abc import Collection, Iterator, Mapping

from schemas.boot_log.records import BootEvent
from schemas.cel.records import ApplicationContent, CelRecord, SystemdContent, is_content_bound
from schemas.hashes import HashAlgorithm
from schemas.replay.log_replay import CEL, TCG2, Consumed


def events_to_judge(
    name: str,
    consumed: Consumed,
    registers: Collection[tuple[HashAlgorithm, int]],
    explained: Mapping[str, frozenset[int]],
) -> Iterator[tuple[tuple[bytes, ...], str]]:
    """The entries of one log that need a reference value.

    Of a CEL log, its entries of the PCRs that the policy gives to it. Of the boot log, its events of PCRs that the
    policy gives to a CEL log: otherwise an application's entry could pass as one of the firmware.

    Args:
        name: of the log.
        consumed: its entries.
        registers: what the quote covers.
        explained: PCRs by log, of the policy.

    Yields:
        Digests, one of which must be acceptable, and what to call the entry.
    """
    for record in consumed.cel:
        if record.extended and record.pcr in explained.get(name, ()):
            digests = _quoted(record.digests, record.pcr, registers)
            if digests:
                yield _judged(record, digests), _text(name, record)
    if name != TCG2:
        return
    given = frozenset[int]().union(*(indices for log, indices in explained.items() if log.startswith(f"{CEL}/")))
    for event in consumed.events if given else ():
        if event.extended and event.pcr_index in given:
            digests = _quoted(event.digests, event.pcr_index, registers)
            if digests:
                yield digests, _event_text(name, event)


def _quoted(
    digests: tuple[tuple[int, bytes], ...], index: int | None, registers: Collection[tuple[HashAlgorithm, int]]
) -> tuple[bytes, ...]:
    """The digest in the strongest quoted bank, in which every entry must show itself; of none, an impossible one.

    Banks are extended one by one: what is good in one of them says nothing of the others.
    """
    banks = {bank.tpm_id: bank.size for bank, selected in registers if selected == index}
    by_bank = {tpm_id: digest for tpm_id, digest in digests if tpm_id in banks}
    return (by_bank.get(max(banks, key=lambda each: banks[each]), b""),) if by_bank else ()


def _judged(record: CelRecord, digests: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (record.content.digest,) if isinstance(record.content, ApplicationContent) else digests


def _text(log: str, record: CelRecord) -> str:
    """Names the entry by its content only where the PCR binds it."""
    if is_content_bound(record):
        match record.content:
            case ApplicationContent(event_type=event_type, name=name):
                return f"{name} ({event_type}, {log})"
            case SystemdContent(string=str(text)):
                return f"{text} ({log})"
            case _:
                pass
    return f"entry {record.recnum} of PCR {record.pcr} ({log})"


def _event_text(log: str, event: BootEvent) -> str:
    return f"event {event.event_type:#x} of PCR {event.pcr_index} ({log})"
