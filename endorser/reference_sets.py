"""Learns, merges, compares and signs sets of reference values in files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from endorser.adapters.captured_evidence import read_evidence, read_signed
from endorser.adapters.debian_packages import deb_files, installed_files
from endorser.core.endorsements import DAY_S, Statement, parse_any_file_key, refer
from endorser.core.learning import Learned, learn_from_logs, learn_from_pushes
from endorser.core.working_set import WorkingSet, differences, merge, parse, render, subtract
from runtime.durable import write_durable
from runtime.keys import load_public_keys, load_signing_key, read_file
from runtime.progress import Progress
from schemas.errors import ConfigError, PeerError, as_config_error
from schemas.identifiers import Ueid
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.messages.endorsement import verify_endorsement
from schemas.messages.reference_values import Outgoing, ReferenceValues, verify_reference_values
from schemas.replay.log_replay import IMA, TCG2
from schemas.topics import check_name
from schemas.tpm.pcr import PcrSelection, parse_selection_text

KERNEL_LOGS: Final = {
    TCG2: Path("/sys/kernel/security/tpm0/binary_bios_measurements"),
    IMA: Path("/sys/kernel/security/ima/binary_runtime_measurements"),
}
_FRAME_BYTES: Final = 2048  # a signed set without its values
_FILE_BYTES: Final = 12  # one file, besides path and digest
_SIGNED_FIRST_BYTE: Final = 0xD2  # COSE_Sign1 with its tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """The version to replace, and for how many seconds its values stay acceptable besides the new ones."""

    previous: Path
    endorser_keys: tuple[Path, ...]
    seconds: int


def from_attester(
    ueid: Ueid, evidence: Sequence[Path], endorsement: Path, endorser_keys: Sequence[Path], pcrs: str
) -> Learned:
    """Learns from captured evidence of a device in its intended state.

    Raises:
        ConfigError: a file has the wrong content, the endorsement is for another attester, or nothing can be learned.
    """
    try:
        vouched = verify_endorsement(read_signed(endorsement), load_public_keys(endorser_keys))
    except PeerError as error:
        raise ConfigError(f"{endorsement}: {error}") from error
    if vouched.ueid != ueid:
        raise ConfigError(f"{endorsement}: endorses {vouched.ueid.hex()}, not {ueid.hex()}")
    return learn_from_pushes(vouched, read_evidence(evidence), _selection_of(pcrs))


def from_logs(tcg2: Path | None, ima: Path | None, pcrs: str) -> Learned:
    """Learns from measurement log files; the default are the kernel's."""
    named = {name: path for name, path in ((TCG2, tcg2), (IMA, ima)) if path is not None}
    logs = {name: read_file(path) for name, path in (named or KERNEL_LOGS).items()}
    return learn_from_logs(logs, _selection_of(pcrs))


def from_packages(root: Path | None, debs: Sequence[Path]) -> Learned:
    """Measures the files of the packages in ``debs``; if empty, of the packages installed below ``root``."""
    with Progress("files") as progress:
        if not debs:
            files = installed_files(root or Path("/"), progress)
            remarks = [f"packages installed below {root or Path('/')}"]
        else:
            merged = merge(WorkingSet(files=deb_files(path, progress)) for path in debs)
            files, remarks = dict(merged.files), [f"package {path.name}" for path in debs]
    return Learned(values=WorkingSet(files=files), remarks=tuple(remarks))


def read_set(path: Path, endorser_keys: Sequence[Path] = ()) -> WorkingSet:
    """Reads a set in its working form or a signed one; leaves out a signed set's outgoing values and keys.

    Raises:
        ConfigError: it cannot be read, or is signed and no key in ``endorser_keys`` verifies it.
    """
    raw = read_file(path)
    if raw[:1] != bytes([_SIGNED_FIRST_BYTE]):
        return parse(raw.decode("utf-8", "backslashreplace"), path.name)
    values = _verified(path, endorser_keys)
    return WorkingSet(registers=values.registers, files=values.files)


def merged(paths: Sequence[Path], endorser_keys: Sequence[Path]) -> str:
    """The working form of a set that accepts everything that one of the sets accepts."""
    remarks = [f"merged from {path.name}" for path in paths]
    return render(merge(read_set(path, endorser_keys) for path in paths), remarks).rstrip("\n")


def compared(before: Path, after: Path, endorser_keys: Sequence[Path]) -> str:
    """The differences of two sets, for people."""
    return "\n".join(differences(read_set(before, endorser_keys), read_set(after, endorser_keys)))


def write_learned(learned: Learned, out: Path | None) -> str:
    """Writes the working form to ``out`` and returns a text for the operator; without ``out`` returns that form."""
    text = render(learned.values, learned.remarks)
    if out is None:
        return text.rstrip("\n")
    write_durable(out, text.encode())
    pcrs = sum(len(indices) for indices in learned.values.registers.values())
    return f"{out}: {pcrs} PCRs, {len(learned.values.files)} files; read it, then sign it"


def sign(
    made: Statement,
    name: str,
    sets: Sequence[Path],
    *,
    key: Path,
    file_keys: Sequence[Path],
    overlap: Overlap | None,
    max_bytes: int,
    out: Path,
) -> list[tuple[str, Path, int]]:
    """Signs the merged sets; as several sets with a name each if they do not fit into one message.

    Returns:
        Name, file and size in bytes of each signed set.

    Raises:
        ConfigError: there is nothing to sign, the name is invalid, the version does not grow, or values do not fit.
    """
    parts = list(_split(merge(read_set(path) for path in sets), max_bytes))
    keys = tuple(parse_any_file_key(path.name, read_file(path)) for path in file_keys)
    outgoing = None if overlap is None else _outgoing(overlap, made, name, merge(parts))
    signing_key, signed = load_signing_key(key), []
    for number, part in enumerate(parts, 1):
        set_name, place = (name, out) if number == 1 else (f"{name}-{number}", out.with_name(f"{out.name}-{number}"))
        extras = (keys, outgoing) if number == 1 else ((), None)
        raw = refer(made, _check_name(set_name), part.registers, part.files, signing_key, *extras)
        if len(raw) > min(max_bytes, MAX_REFERENCE_VALUES_BYTES):
            raise ConfigError(f"{set_name}: {len(raw)} bytes with outgoing values and keys, --max-bytes {max_bytes}")
        write_durable(place, raw)
        signed.append((set_name, place, len(raw)))
    return signed


def _selection_of(text: str) -> PcrSelection:
    """Parses PCRs such as ``sha256:0-9``.

    Raises:
        ConfigError: the text has another form, or names a bank that reference values do not support.
    """
    with as_config_error("--pcrs"):
        selection = parse_selection_text(text)
    for bank in selection.banks:
        if bank.algorithm.ni_id is None:
            raise ConfigError(f"--pcrs: {bank.algorithm.name} is not a bank that reference values can name")
    return selection


def _check_name(name: str) -> str:
    with as_config_error("--name"):
        check_name(name)
    return name


def _split(values: WorkingSet, max_bytes: int) -> Iterable[WorkingSet]:
    """Splits a set into parts that fit; the first has all PCRs."""
    room = min(max_bytes, MAX_REFERENCE_VALUES_BYTES) - _FRAME_BYTES
    used = sum(64 + 64 * len(digests) for indices in values.registers.values() for digests in indices.values())
    files: dict[bytes, str] = {}
    registers = values.registers
    for digest, path in sorted(values.files.items(), key=lambda item: (item[1], item[0])):
        size = len(digest) + len(path.encode()) + _FILE_BYTES
        if files and used + size > room:
            yield WorkingSet(registers=registers, files=files)
            files, registers, used = {}, {}, 0
        files[digest] = path
        used += size
    yield WorkingSet(registers=registers, files=files)


def _outgoing(overlap: Overlap, made: Statement, name: str, values: WorkingSet) -> Outgoing | None:
    """The values that the previous version accepts and the new one does not; without those outgoing in the previous."""
    previous = _verified(overlap.previous, overlap.endorser_keys)
    if previous.name != name or previous.version >= made.version:
        found = f"{previous.name} version {previous.version}"
        raise ConfigError(f"--previous: {found}, expected a version of {name} before {made.version}")
    gone = subtract(WorkingSet(registers=previous.registers, files=previous.files), values)
    if not gone.registers and not gone.files:
        return None
    return Outgoing(until_s=made.now_s + overlap.seconds, registers=gone.registers, files=gone.files)


def _verified(path: Path, endorser_keys: Sequence[Path]) -> ReferenceValues:
    if not endorser_keys:
        raise ConfigError(f"{path}: signed; name the key that must have signed it with --endorser-key")
    try:
        return verify_reference_values(read_file(path), load_public_keys(endorser_keys))
    except PeerError as error:
        raise ConfigError(f"{path}: {error}") from error


def overlap_of(previous: Path | None, keys: Sequence[Path], days: float) -> Overlap | None:
    """The version to replace, from the options; None without ``previous``."""
    if previous is None:
        return None
    if days <= 0:
        raise ConfigError(f"--overlap-days {days}: expected more than 0")
    return Overlap(previous=previous, endorser_keys=tuple(keys), seconds=int(days * DAY_S))
