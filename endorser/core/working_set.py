"""Reference values before they are signed: one plain text that people can read, edit, sort and compare. Pure.

A line is one PCR value, ``sha256 7 DIGEST``, or one file, ``DIGEST  PATH`` as ``sha256sum`` prints it; empty lines and
lines that begin with ``#`` say nothing. Several lines of one PCR or path are alternatives.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.codecs.printable import printable
from schemas.errors import ConfigError
from schemas.hashes import BY_NAME, BY_NI_ID, HashAlgorithm
from schemas.limits import MAX_PCR_INDEX, MAX_TEXT_BYTES

_PCR: Final = re.compile(r"(\w+)\s+(\d+)\s+([0-9A-Fa-f]+)")
_FILE: Final = re.compile(r"([0-9a-f]+) [ *](.+)")
_SIZES: Final = frozenset(algorithm.size for algorithm in BY_NI_ID.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingSet:
    """Acceptable PCR values by bank and index; acceptable file digests with a path each, for people."""

    registers: Mapping[HashAlgorithm, Mapping[int, frozenset[bytes]]] = field(default_factory=dict)
    files: Mapping[bytes, str] = field(default_factory=dict)


def plain_path(path: str) -> str:
    """A path on one line: what is not printable is written as an escape."""
    return printable(path)[:MAX_TEXT_BYTES]


def render(values: WorkingSet, remarks: Iterable[str] = ()) -> str:
    """The text: remarks, PCRs by bank and index, files by path; the same values always in the same order."""
    lines = [f"# {plain_path(remark)}" for remark in remarks]
    for bank in sorted(values.registers, key=lambda each: each.tpm_id):
        for index, digests in sorted(values.registers[bank].items()):
            lines += [f"{bank.name} {index} {digest.hex()}" for digest in sorted(digests)]
    by_path = sorted((plain_path(path), digest) for digest, path in values.files.items())
    lines += [f"{digest.hex()}  {path}" for path, digest in by_path]
    return "".join(f"{line}\n" for line in lines)


def parse(text: str, name: str) -> WorkingSet:
    """Reads the text.

    Args:
        text: any lines of the form above, in any order.
        name: of the file, for the error message.

    Raises:
        ConfigError: a line is something else.
    """
    registers: dict[HashAlgorithm, dict[int, frozenset[bytes]]] = {}
    files: dict[bytes, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if (found := _FILE.fullmatch(line)) and len(found[1]) % 2 == 0 and len(found[1]) // 2 in _SIZES:
            files[bytes.fromhex(found[1])] = plain_path(found[2])
            continue
        match = _PCR.fullmatch(line.strip())
        bank = BY_NAME.get(match[1]) if match else None
        usable = bank is not None and bank.ni_id is not None
        if match is None or bank is None or not usable or len(match[3]) != 2 * bank.size:
            expected = "expected `sha256 INDEX DIGEST`, or `DIGEST  PATH` as sha256sum prints it"
            raise ConfigError(f"{name}, line {number}: {expected}; SHA-1 is not a reference")
        if int(match[2]) > MAX_PCR_INDEX:
            raise ConfigError(f"{name}, line {number}: PCR {match[2]}, the last one is {MAX_PCR_INDEX}")
        indices = registers.setdefault(bank, {})
        indices[int(match[2])] = indices.get(int(match[2]), frozenset()) | {bytes.fromhex(match[3])}
    return WorkingSet(registers=registers, files=files)


def merge(sets: Iterable[WorkingSet]) -> WorkingSet:
    """What is acceptable in one of them; of a digest with several paths the first."""
    registers: dict[HashAlgorithm, dict[int, frozenset[bytes]]] = {}
    files: dict[bytes, str] = {}
    for each in sets:
        for bank, indices in each.registers.items():
            merged = registers.setdefault(bank, {})
            for index, digests in indices.items():
                merged[index] = merged.get(index, frozenset()) | digests
        for digest, path in each.files.items():
            files.setdefault(digest, path)
    return WorkingSet(registers=registers, files=files)


def subtract(values: WorkingSet, others: WorkingSet) -> WorkingSet:
    """What is acceptable in ``values`` and not in ``others``; a file counts by its digest."""
    registers: dict[HashAlgorithm, dict[int, frozenset[bytes]]] = {}
    for bank, indices in values.registers.items():
        for index, digests in indices.items():
            left = digests - others.registers.get(bank, {}).get(index, frozenset())
            if left:
                registers.setdefault(bank, {})[index] = left
    files = {digest: path for digest, path in values.files.items() if digest not in others.files}
    return WorkingSet(registers=registers, files=files)


def differences(before: WorkingSet, after: WorkingSet) -> list[str]:
    """What changed, a line each: ``+`` added, ``-`` removed, ``~`` changed; PCRs, then paths, then a summary."""
    added, removed = subtract(after, before), subtract(before, after)
    changes = _compare(_by_register(removed), _by_register(added)) + _compare(_by_path(removed), _by_path(added))
    counts = [sum(line.startswith(sign) for line in changes) for sign in "+-~"]
    return [*changes, f"{counts[0]} added, {counts[1]} removed, {counts[2]} changed"]


def _compare(removed: Mapping[str, list[str]], added: Mapping[str, list[str]]) -> list[str]:
    lines = []
    for name in sorted(removed.keys() | added.keys()):
        old, new = " ".join(removed.get(name, ())), " ".join(added.get(name, ()))
        lines.append(f"~ {name}  {old} -> {new}" if old and new else f"- {name}  {old}" if old else f"+ {name}  {new}")
    return lines


def _by_register(values: WorkingSet) -> dict[str, list[str]]:
    return {
        f"PCR {bank.name}:{index:02}": sorted(digest.hex() for digest in digests)
        for bank, indices in values.registers.items()
        for index, digests in indices.items()
    }


def _by_path(values: WorkingSet) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for digest, path in sorted(values.files.items()):
        found.setdefault(plain_path(path), []).append(digest.hex())
    return found
