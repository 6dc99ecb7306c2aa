"""Deviations of real boot logs from the specification, each with a log that shows it.

According to PFP 1.06, 10.4.1, an event's digest is the hash of its event data, or of something that the event data
describe. Firmware and loaders also hash parts of their event data. :func:`measured_parts` lists the bytes that may have
been hashed, and ``binding`` compares the digest with each. So a quirk never makes bytes authentic that no digest
covers.

Logs are named as in ``tests/conformance``: test data of tpm2-tools and go-eventlog.
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

    ``WHOLE`` is the rule; all others are quirks:

    * ``VARIABLE_CONTENT``: only the variable's value, so its GUID and name are not covered. EDK2 does this for
      ``EV_EFI_VARIABLE_BOOT``, as PFP before 1.05 requires: tpm2-tools/event-bootorder, ovmf-vtpm.
    * ``ALL_BUT_LAST_BYTE``: shim 15 logs its ``Shim`` authority with six extra bytes and hashes five of them:
      go-eventlog/debian-10, tpm2-tools/event-postcode.
    * ``TEXT_AFTER_PREFIX``: GRUB hashes a command without the word before it. Upstream GRUB also leaves out the
      terminator (tpm2-tools/event-gce-ubuntu-2104-log), Red Hat's GRUB hashes it (go-eventlog/rhel8-uefi).
    * ``HALF_TERMINATOR_MISSING``: systemd-boot before 251 logs one byte less than it hashes:
      tpm2-tools/event-arch-linux.
    * ``ASCII_OF_UTF16``: systemd-stub hashes the name of a section in ASCII and logs it in UTF-16: systemd 254,
      ``tpm_log_ipl_event_ascii``; none of the logs shows it.
    * ``ERROR_VALUE``: an ``EV_SEPARATOR`` after an error hashes 1 and may log a description: PFP 1.06, 10.4.1.
    """

    WHOLE = "whole"
    VARIABLE_CONTENT = "variable-content"
    ALL_BUT_LAST_BYTE = "all-but-last-byte"
    TEXT_AFTER_PREFIX = "text-after-prefix"
    HALF_TERMINATOR_MISSING = "half-terminator-missing"
    ASCII_OF_UTF16 = "ascii-of-utf16"
    ERROR_VALUE = "error-value"


# The words that GRUB logs before the text that it hashes. If one begins another, the longer one comes first.
GRUB_PREFIXES: Final = (
    b"grub_cmd: ",
    b"kernel_cmdline: ",
    b"module_cmdline: ",
    b"grub_kernel_cmdline ",  # Red Hat
    b"grub_cmd ",  # Red Hat
)


def measured_parts(event_type: int, data: bytes) -> Iterator[tuple[Part, bytes]]:
    """Lists the bytes that an event may have measured, the most likely first.

    Args:
        event_type: the event's type (PFP 1.06, 10.4.1).
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
    """How many extra bytes may follow the structure in an event of this type.

    For variables see ``ALL_BUT_LAST_BYTE``. For images 8 (go-eventlog/rhel8-uefi) or 9 (go-eventlog/debian-10,
    tpm2-tools/event-uefi-sha1-log): shim adds the size of the structure's last field, or of a path node, twice.
    """
    if event_type in IMAGE_TYPES:
        return MAX_IMAGE_TRAILING_BYTES
    return MAX_TRAILING_BYTES if event_type == EventType.EV_EFI_VARIABLE_AUTHORITY else 0


def without_padding(log: bytes) -> bytes:
    """Removes the padding of the firmware's buffer from the end of a log: all zeros or all ones.

    The Linux kernel leaves the padding out; other copies of the buffer have it.

    Raises:
        PeerError: as ``records.split_records``.
    """
    for filler in (b"\0", b"\xff"):
        end = len(log.rstrip(filler))  # the last record may end with such bytes, so its end is at ``end`` or later
        kept = 0
        for record in split_records(log[:end] + bytes(len(log) - end)).records if end < len(log) else ():
            kept += len(record)
            if kept >= end:
                return log[:kept]
    return log
