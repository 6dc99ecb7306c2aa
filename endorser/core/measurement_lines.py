"""Text lines with a PCR value, ``sha256 7 DIGEST``, or a file, ``DIGEST  PATH`` as ``sha256sum`` prints it. Pure."""

import re
from typing import Final

from schemas.errors import ConfigError
from schemas.hashes import BY_NAME, BY_NI_ID, HashAlgorithm
from schemas.tpm.pcr import PcrSelection

DIGEST_SIZES: Final = frozenset(algorithm.size for algorithm in BY_NI_ID.values())
"""Sizes of the digests that reference values can have, in bytes."""
_PCR: Final = re.compile(r"(\w+)\s+(\d+)\s+([0-9A-Fa-f]+)")
_FILE: Final = re.compile(r"([0-9a-f]+) [ *](.+)")


def parse_pcr_line(line: str) -> tuple[HashAlgorithm, int, bytes] | None:
    """Bank, index and value; None if the line has another form."""
    match = _PCR.fullmatch(line.strip())
    bank = BY_NAME.get(match[1]) if match else None
    if match is None or bank is None or len(match[3]) != 2 * bank.size:
        return None
    return bank, int(match[2]), bytes.fromhex(match[3])


def parse_file_line(line: str) -> tuple[bytes, str] | None:
    """Digest and path; None if the line has another form."""
    match = _FILE.fullmatch(line)
    if match is None or len(match[1]) % 2 or len(match[1]) // 2 not in DIGEST_SIZES:
        return None
    return bytes.fromhex(match[1]), match[2]


def parse_pcr_lines(text: str, selection: PcrSelection) -> dict[HashAlgorithm, dict[int, frozenset[bytes]]]:
    """Reads the PCRs of ``selection``; ignores empty lines.

    Raises:
        ConfigError: a line has another form, or a selected PCR is missing.
    """
    found: dict[HashAlgorithm, dict[int, frozenset[bytes]]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parsed = parse_pcr_line(line)
        if parsed is None:
            raise ConfigError(f"PCRs, line {number}: expected a bank, an index and a digest in hexadecimal")
        bank, index, digest = parsed
        if (bank, index) in selection:
            found.setdefault(bank, {})[index] = frozenset({digest})
    missing = [f"{bank.name}:{index}" for bank, index in selection if index not in found.get(bank, {})]
    if missing:
        raise ConfigError(f"PCRs: no line for {', '.join(missing)}")
    return found


def parse_file_lines(text: str) -> dict[bytes, str]:
    """Reads digests and paths.

    Raises:
        ConfigError: a line has another form.
    """
    files: dict[bytes, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        parsed = parse_file_line(line)
        if parsed is None:
            raise ConfigError(f"digests, line {number}: expected a digest, two spaces and a path, as sha256sum prints")
        files[parsed[0]] = parsed[1]
    return files
