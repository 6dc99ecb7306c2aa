"""``relying-party audit prove``: writes a file that proves what a device ran at a given time."""

import argparse
import sys
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from relying_party.audit.proof_maker import AuditLogScan, Choice
from runtime.audit_log.any_log import is_tiled_log
from runtime.audit_log.log_reader import AuditLogReader
from runtime.audit_log.object_store import open_store
from runtime.durable import write_durable
from runtime.progress import Progress
from schemas.audit.proof import AuditProof, ProvenEntry, ProvenHead, encode_proof
from schemas.codecs.tst_info import extract_tst_info, parse_tst_info
from schemas.errors import ConfigError, PeerError, as_config_error
from schemas.identifiers import Ueid, parse_ueid_text
from schemas.instants import iso_text, microseconds
from schemas.time_model import stamped

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser(
        "prove",
        help="write a file that proves what a device ran at a time",
        description="The file needs nothing beside it but the TSA's root and the log's key: relying-party audit check. "
        "Exit status: 0 written; 1 the audit log has no evidence from before or from after the time, and nothing is "
        "written; 2 a wrong option or file.",
    )
    command.add_argument("--audit-log", required=True, metavar="LOG", help="folder or URL of a tiled log")
    command.add_argument("--attester", required=True, metavar="UEID", help="the device")
    command.add_argument("--at", required=True, metavar="TIME", help="ISO 8601 with its zone, as 2026-11-29T12:00:00Z")
    command.add_argument("--out", required=True, type=Path, metavar="FILE", help="the proof; replaced if there is one")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Writes a proof; returns 1, and writes nothing, if there is no evidence on one side of the time.

    Raises:
        ConfigError: names the option.
        PeerError: the audit log lacks entries that a proof needs.
        WorldError: the audit log cannot be read, or the proof cannot be written.
    """
    ueid, at_us = _ueid(options.attester), parse_time(options.at)
    folder = Path(options.audit_log)
    if "://" not in options.audit_log and not (folder.is_dir() and is_tiled_log(folder)):
        raise ConfigError(f"--audit-log: {options.audit_log}: not a tiled audit log; only a tiled one has proofs")
    reader = AuditLogReader(open_store(options.audit_log))
    stamps = stamps_of(reader)
    scan, choice = choose(reader, ueid, at_us, stamps)
    if choice.before is None or choice.after is None:
        side = "before" if choice.before is None else "after"
        first, last = (iso_text(scan.candidates[place].received_us) for place in (0, -1))
        print(
            f"no evidence of this device from {side} {iso_text(at_us)}: what the audit log holds was received between "
            f"{first} and {last}. Nothing was written",
            file=sys.stderr,
        )
        return 1
    proof = assemble(reader, ueid, at_us, choice)
    raw = encode_proof(proof)
    write_durable(options.out, raw)
    print(f"{options.out}: {len(raw)} bytes, {len(proof.entries)} entries under {_heads_text(choice, stamps)}")
    print(f"  evidence from before that time: entry {choice.before}")
    print(f"  evidence from after that time: entry {choice.after}")
    between = sum(choice.before < index < choice.after for index in choice.entries)
    print(f"  entries between the two: {between}")
    return 0


def parse_time(text: str) -> int:
    """A time on the command line, UTC microseconds.

    Raises:
        ConfigError: it is not a time, or has no zone.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--at: {text!r}, expected a time like 2026-11-29T12:00:00Z") from error
    if time.tzinfo is None:
        raise ConfigError(f"--at: {text!r} has no zone; write 2026-11-29T12:00:00Z, or add +01:00")
    time_us = microseconds(time)
    if time_us < 0:
        raise ConfigError(f"--at: {text!r} is before 1970")
    return time_us


def _ueid(text: str) -> Ueid:
    with as_config_error("--attester"):
        return parse_ueid_text(text)


def stamps_of(reader: AuditLogReader) -> dict[int, int]:
    """The latest time of each checkpoint's stamp, unverified, by the size of the checkpoint."""
    stamps = {}
    for size in reader.stamped():
        token = reader.stamp(size)
        try:
            info = parse_tst_info(extract_tst_info(token or b""))
        except PeerError:
            continue
        latest_us = stamped(info.gen_time_us, info.accuracy_us).before_us
        if latest_us is not None:
            stamps[size] = latest_us
    return stamps


def choose(reader: AuditLogReader, ueid: Ueid, at_us: int, stamps: dict[int, int]) -> tuple[AuditLogScan, Choice]:
    """Reads the audit log and chooses the entries of a proof."""
    newest, scan = reader.unverified_size(), AuditLogScan(ueid)
    with Progress("entries") as progress:
        for index, raw in reader.entries(0, newest):
            scan.take(index, raw)
            progress.report(index, newest)
    return scan, scan.choose(at_us, stamps, newest)


def assemble(reader: AuditLogReader, ueid: Ueid, at_us: int, choice: Choice) -> AuditProof:
    """The proof of the chosen entries, with their checkpoints, stamps and paths."""
    heads = [
        ProvenHead(note=reader.checkpoint_at(size), stamp=reader.stamp(size), cosignatures=reader.cosignatures(size))
        for size in choice.sizes
    ]
    entries = []
    for index in choice.entries:
        head, size = next((place, size) for place, size in enumerate(choice.sizes) if index < size)
        path = reader.inclusion(index, size)
        entries.append(ProvenEntry(index=index, head=head, path=path, entry=reader.entry(index)))
    return AuditProof(
        ueid=ueid,
        at_us=at_us,
        heads=tuple(heads),
        consistency=tuple(reader.consistency(one, other) for one, other in pairwise(choice.sizes)),
        entries=tuple(entries),
        before=choice.before,
        after=choice.after,
    )


def _heads_text(choice: Choice, stamps: dict[int, int]) -> str:
    sizes = ", ".join(f"{size}{'' if size in stamps else ' (not stamped)'}" for size in choice.sizes)
    return f"the checkpoint{'s' if len(choice.sizes) > 1 else ''} of {sizes} entries"
