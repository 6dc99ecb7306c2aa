"""Reference values before they are signed, as a text that people can read, edit, sort and compare. Pure.

Each line is as in ``measurement_lines``: a PCR value or a file. Several lines for one PCR or path are alternatives.
Empty lines and lines that begin with ``#`` are ignored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from endorser.core.measurement_lines import parse_file_line, parse_pcr_line
from schemas.codecs.printable import printable
from schemas.errors import ConfigError
from schemas.hashes import HashAlgorithm
from schemas.limits import MAX_PCR_INDEX, MAX_TEXT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingSet:
    """Acceptable PCR values by bank and index; acceptable file digests with a path each, for people."""

    registers: Mapping[HashAlgorithm, Mapping[int, frozenset[bytes]]] = field(default_factory=dict)
    files: Mapping[bytes, str] = field(default_factory=dict)


def plain_path(path: str) -> str:
    """A path on one line; unprintable characters are escaped."""
    return printable(path)[:MAX_TEXT_BYTES]


def render(values: WorkingSet, remarks: Iterable[str] = ()) -> str:
    """The text: remarks, PCRs by bank and index, files by path. The same values give the same text."""
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
        text: lines in any order.
        name: of the file, for errors.

    Raises:
        ConfigError: a line has another form.
    """
    registers: dict[HashAlgorithm, dict[int, frozenset[bytes]]] = {}
    files: dict[bytes, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if (file := parse_file_line(line)) is not None:
            files[file[0]] = plain_path(file[1])
            continue
        parsed = parse_pcr_line(line)
        if parsed is None or parsed[0].ni_id is None:
            expected = "expected `sha256 INDEX DIGEST`, or `DIGEST  PATH` as sha256sum prints it"
            raise ConfigError(f"{name}, line {number}: {expected}; SHA-1 is not a reference")
        bank, index, digest = parsed
        if index > MAX_PCR_INDEX:
            raise ConfigError(f"{name}, line {number}: PCR {index}, the last one is {MAX_PCR_INDEX}")
        indices = registers.setdefault(bank, {})
        indices[index] = indices.get(index, frozenset()) | {digest}
    return WorkingSet(registers=registers, files=files)


def merge(sets: Iterable[WorkingSet]) -> WorkingSet:
    """A set that accepts everything that one of the sets accepts; a digest with several paths gets the first."""
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
    """The values that ``values`` accepts and ``others`` does not; files are compared by digest."""
    registers: dict[HashAlgorithm, dict[int, frozenset[bytes]]] = {}
    for bank, indices in values.registers.items():
        for index, digests in indices.items():
            left = digests - others.registers.get(bank, {}).get(index, frozenset())
            if left:
                registers.setdefault(bank, {})[index] = left
    files = {digest: path for digest, path in values.files.items() if digest not in others.files}
    return WorkingSet(registers=registers, files=files)


def differences(before: WorkingSet, after: WorkingSet) -> list[str]:
    """One line for each change: ``+`` added, ``-`` removed, ``~`` changed. PCRs, then paths, then a summary."""
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
