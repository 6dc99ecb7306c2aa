"""Boot logs as lines for people: the digest of each event, its text, and whether the digest covers the text."""

from collections.abc import Iterator
from typing import Final

from schemas.boot_log.binding import AuthenticatedData, bind, hashable_banks
from schemas.boot_log.event_data import decode_event_data
from schemas.boot_log.event_types import EventType, event_type_name
from schemas.boot_log.event_values import Separator, VariableEvent
from schemas.boot_log.facts import secure_boot_state
from schemas.boot_log.quirks import without_padding
from schemas.boot_log.records import BootEvent, parse_event, split_records
from schemas.boot_log.uefi_text import guess_text
from schemas.boot_log.uefi_variable import (
    GLOBAL_VARIABLE,
    IMAGE_SECURITY_DATABASE,
    Variable,
    parse_boot_order,
    parse_load_option,
    parse_signature,
    parse_signature_lists,
)
from schemas.codecs.printable import printable
from schemas.errors import PeerError
from schemas.hashes import BY_TPM_ID

LEGEND: Final = """\
index PCR type digest binding text
  whole         a digest covers all of the data
  <part>        a digest covers this part of the data: see schemas/boot_log/quirks.py
  descriptive   no digest covers the data: anyone may have written them
  not extended  the event is in the log alone
A digest proves something only if its PCR is quoted. Nothing proves types, the order of logs, and data not covered."""

_DIGEST_CHARACTERS: Final = 16
_MAX_TEXT_CHARACTERS: Final = 400
_DATABASES: Final = frozenset({"PK", "KEK", "db", "dbx", "dbt", "dbr", "MokList", "MokListX"})
_MAX_SIGNATURES_SHOWN: Final = 8
_BOOT_OPTION: Final = ("Boot", "Driver", "SysPrep")
_BOOT_OPTION_DIGITS: Final = 4


def boot_log_lines(log: bytes) -> Iterator[str]:
    """A legend, one line for each event, and the state of Secure Boot.

    Args:
        log: from index 0; padding at its end is ignored.

    Raises:
        PeerError: the log does not parse. Event data that do not parse are shown in hexadecimal.
    """
    split = split_records(without_padding(log))
    events = [parse_event(record, split.format if index else None) for index, record in enumerate(split.records)]
    yield LEGEND
    for index, event in enumerate(events):
        yield event_line(index, event)
    if split.rest:
        yield f"{len(split.rest)} bytes of an event that is cut short"
    banks = hashable_banks(events[-1]) if events else ()
    yield f"secure boot, where PCR 7 is quoted: {secure_boot_state(events, banks)}"


def event_line(index: int, event: BootEvent) -> str:
    """One line: index, PCR, type, start of the strongest digest, what the digest covers, text."""
    head = f"{index:4} {event.pcr_index:3} {event_type_name(event.event_type)}"
    return f"{head} {_digest_text(event)} {_covered_text(event)} {_text(event)}".rstrip()


def _digest_text(event: BootEvent) -> str:
    digests = dict(event.digests)
    if not digests or not event.extended:
        return "-"
    strongest = max(digests, key=lambda tpm_id: len(digests[tpm_id]))
    name = BY_TPM_ID[strongest].name if strongest in BY_TPM_ID else f"{strongest:#06x}"
    return f"{name}:{digests[strongest].hex()[:_DIGEST_CHARACTERS]}"


def _covered_text(event: BootEvent) -> str:
    if not event.extended:
        return "not extended"
    bound = bind(event, hashable_banks(event))
    return bound.part if isinstance(bound, AuthenticatedData) else "descriptive"


def _text(event: BootEvent) -> str:
    try:
        decoded = decode_event_data(event.event_type, event.data)
        text = decoded.text
        if isinstance(decoded, VariableEvent):
            text = f"{printable(decoded.variable.name)}: {_variable_text(event.event_type, decoded.variable)}"
        elif isinstance(decoded, Separator) and decoded.detail:
            text = f"{text} {printable(guess_text(decoded.detail) or decoded.detail.hex())}"
    except PeerError as error:
        text = f"unreadable ({error.detail}): {event.data.hex()}"
    text = printable(text)  # decoders may pass unprintable text on, such as names in certificates
    return text if len(text) <= _MAX_TEXT_CHARACTERS else text[:_MAX_TEXT_CHARACTERS] + "..."


def _variable_text(event_type: int, variable: Variable) -> str:
    try:
        return _known_variable_text(event_type, variable)
    except PeerError as error:
        return f"unreadable ({error.detail}): {variable.content.hex()}"


def _known_variable_text(event_type: int, variable: Variable) -> str:
    name, content = variable.name, variable.content
    if event_type == EventType.EV_EFI_VARIABLE_AUTHORITY:
        return guess_text(content) or (parse_signature(content).text if len(content) > 1 else content.hex())
    if variable.vendor == GLOBAL_VARIABLE and name == "BootOrder":
        return ", ".join(f"{number:04X}" for number in parse_boot_order(content))
    if variable.vendor == GLOBAL_VARIABLE and _is_boot_option(name):
        option = parse_load_option(content)
        return f"{printable(option.description)} {' '.join(option.paths)}"
    if name in _DATABASES and variable.vendor in {GLOBAL_VARIABLE, IMAGE_SECURITY_DATABASE}:
        signatures = parse_signature_lists(content)
        listed = "; ".join(signature.text for signature in signatures[:_MAX_SIGNATURES_SHOWN])
        return f"{len(signatures)} entries: {listed}" if signatures else "empty"
    return content.hex() or "empty"


def _is_boot_option(name: str) -> bool:
    number = next((name.removeprefix(prefix) for prefix in _BOOT_OPTION if name.startswith(prefix)), "")
    return len(number) == _BOOT_OPTION_DIGITS and all(digit in "0123456789ABCDEFabcdef" for digit in number)
