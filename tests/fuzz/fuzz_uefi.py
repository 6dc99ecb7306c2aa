"""Fuzz target: device paths, variables, signature databases, load options, certificates, tagged values.

The first byte chooses the parser.
"""

from collections.abc import Callable

from schemas.boot_log.device_path import device_path_text, device_path_texts
from schemas.boot_log.uefi_text import guess_text
from schemas.boot_log.uefi_variable import (
    parse_boot_order,
    parse_load_option,
    parse_signature,
    parse_signature_lists,
    parse_variable,
)
from schemas.boot_log.windows_tags import parse_tagged_values
from schemas.codecs.printable import printable
from schemas.errors import PeerError
from tests.builders.log_bytes import uefi_variable

_PARSERS: tuple[Callable[[bytes], object], ...] = (
    device_path_text,
    device_path_texts,
    parse_variable,
    lambda data: [entry.text for entry in parse_signature_lists(data)],
    parse_signature,
    parse_load_option,
    parse_boot_order,
    parse_tagged_values,
    lambda data: printable(guess_text(data) or ""),
)
_PATH = bytes.fromhex("02010c00d041030a0000000001010600030104040a00410000007fff0400")
_SIGNATURES = (
    bytes.fromhex("2616c4c14c509240aca941f936934328") + bytes([76, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0]) + bytes(48)
)
_CERTIFICATE = bytes.fromhex("3082000a3008a003020102020101")

SEEDS = [
    b"\0" + _PATH,
    b"\1" + _PATH * 2,
    b"\2" + uefi_variable("SecureBoot", b"\1"),
    b"\3" + _SIGNATURES,
    b"\4" + bytes(16) + _CERTIFICATE,
    b"\5" + bytes.fromhex("010000001e004100420000000000") + _PATH,
    b"\6\1\0\2\0",
    b"\7\1\0\1\x40\x09\0\0\0\1\0\5\0\1\0\0\0\1",
    b"\x08a\0b\0",
]


def one(data: bytes) -> None:
    """Anything but a value or a ``PeerError`` is a bug."""
    if not data:
        return
    try:
        _PARSERS[data[0] % len(_PARSERS)](data[1:])
    except PeerError:
        return
