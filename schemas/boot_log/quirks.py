"""What real boot logs do that the specification does not say, each with the log that needs it.

An event's digest is, by PFP 1.06, 10.4.1, the hash of its event data, or of something that the event data describe.
Firmware and loaders also hash parts of what they log. :func:`measured_parts` lists the bytes that may have been hashed;
whether they were, is for the digest to say (``binding``): a quirk can never make bytes authentic that no digest
covers.

Names of logs are those of the corpus in ``../shared/vectors``; ``deploy/demo/firmware`` is the project's own.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from schemas.boot_log.event_types import IMAGE_TYPES, VARIABLE_TYPES, EventType
from schemas.boot_log.records import split_records
from schemas.boot_log.uefi_variable import parse_variable
from schemas.errors import PeerError

MAX_TRAILING_BYTES: Final = 6
MAX_IMAGE_TRAILING_BYTES: Final = 9
ERROR_SEPARATOR: Final = b"\1\0\0\0"

_TERMINATOR: Final = b"\0"


class Part(StrEnum):
    """Which bytes of an event were hashed.

    ``WHOLE`` is the rule; everything else is a quirk:

    * ``VARIABLE_CONTENT``: the variable's value without its GUID and name, which are then mere description. EDK2, for
      ``EV_EFI_VARIABLE_BOOT`` (PFP before 1.05 wants it so): tpm2-tools/event-bootorder, ovmf-vtpm.
    * ``ALL_BUT_LAST_BYTE``: shim 15 logs its ``Shim`` authority with six bytes too many and hashes five of them:
      go-eventlog/debian-10, tpm2-tools/event-postcode.
    * ``TEXT_AFTER_PREFIX``: GRUB hashes a command without the word before it; upstream GRUB without the terminator
      (tpm2-tools/event-gce-ubuntu-2104-log), Red Hat's with it (go-eventlog/rhel8-uefi).
    * ``HALF_TERMINATOR_MISSING``: systemd-boot before 251 logs one byte less than it hashes:
      tpm2-tools/event-arch-linux.
    * ``ASCII_OF_UTF16``: systemd-stub hashes the name of a section in ASCII and logs it in UTF-16: systemd 254,
      ``tpm_log_ipl_event_ascii``; no log of it in the corpus.
    * ``ERROR_VALUE``: an ``EV_SEPARATOR`` for an error hashes 1 and may log what the error was: PFP 1.06, 10.4.1.
    """

    WHOLE = "whole"
    VARIABLE_CONTENT = "variable-content"
    ALL_BUT_LAST_BYTE = "all-but-last-byte"
    TEXT_AFTER_PREFIX = "text-after-prefix"
    HALF_TERMINATOR_MISSING = "half-terminator-missing"
    ASCII_OF_UTF16 = "ascii-of-utf16"
    ERROR_VALUE = "error-value"


# What GRUB logs before the text that it hashes, longest first where one begins another.
GRUB_PREFIXES: Final = (
    b"grub_cmd: ",
    b"kernel_cmdline: ",
    b"module_cmdline: ",
    b"grub_kernel_cmdline ",  # Red Hat
    b"grub_cmd ",  # Red Hat
)


def measured_parts(event_type: int, data: bytes) -> Iterator[tuple[Part, bytes]]:
    """The bytes that the digests of an event may be of, the likeliest first.

    Args:
        event_type: PFP 10.4.1.
        data: event data.
    """
    yield Part.WHOLE, data
    if event_type == EventType.EV_SEPARATOR:
        yield Part.ERROR_VALUE, ERROR_SEPARATOR
    elif event_type in VARIABLE_TYPES:
        yield from _variable_parts(event_type, data)
    elif event_type == EventType.EV_IPL:
        yield from _loader_parts(data)


def _variable_parts(event_type: int, data: bytes) -> Iterator[tuple[Part, bytes]]:
    try:
        variable = parse_variable(data, max_trailing_bytes(event_type))
    except PeerError:
        return
    yield Part.VARIABLE_CONTENT, variable.content
    if event_type == EventType.EV_EFI_VARIABLE_AUTHORITY and variable.trailing:
        yield Part.ALL_BUT_LAST_BYTE, data[:-1]


def _loader_parts(data: bytes) -> Iterator[tuple[Part, bytes]]:
    for prefix in GRUB_PREFIXES:
        if data.startswith(prefix):
            text = data.removeprefix(prefix)
            yield Part.TEXT_AFTER_PREFIX, text.removesuffix(_TERMINATOR)
            yield Part.TEXT_AFTER_PREFIX, text
            return
    if len(data) % 2:
        yield Part.HALF_TERMINATOR_MISSING, data + _TERMINATOR
        return
    try:
        yield Part.ASCII_OF_UTF16, data.decode("utf-16-le").encode("ascii")
    except UnicodeError:
        return


def max_trailing_bytes(event_type: int) -> int:
    """How many bytes may follow the structure in an event of this type.

    Of a variable, see ``ALL_BUT_LAST_BYTE``. Of an image, 8 (go-eventlog/rhel8-uefi) or 9 (go-eventlog/debian-10,
    tpm2-tools/event-uefi-sha1-log): shim adds the size of the structure's last field, or of a path node, twice.
    """
    if event_type in IMAGE_TYPES:
        return MAX_IMAGE_TRAILING_BYTES
    return MAX_TRAILING_BYTES if event_type == EventType.EV_EFI_VARIABLE_AUTHORITY else 0


def without_padding(log: bytes) -> bytes:
    """A log without what fills the rest of the firmware's buffer: all zero, or all ones.

    The Linux kernel leaves it out; copies of the buffer made by other means do not.

    Raises:
        PeerError: as ``records.split_records``.
    """
    for filler in (b"\0", b"\xff"):
        end = len(log.rstrip(filler))  # the last record may end with the same bytes: look for its end from there on
        kept = 0
        for record in split_records(log[:end] + bytes(len(log) - end)).records if end < len(log) else ():
            kept += len(record)
            if kept >= end:
                return log[:kept]
    return log
