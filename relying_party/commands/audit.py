"""``relying-party audit times``: a verifier's audit log recomputed offline, as a table or as JSON lines."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from relying_party.audit.recorder import RecorderSettings, check_recorder, run_recorder
from relying_party.audit.time_audit import Believed, Row, TimeAudit
from relying_party.commands import audit_check as check_command
from relying_party.commands import audit_fsck as audit_log_commands
from relying_party.commands import audit_prove as prove_command
from relying_party.commands import audit_witness as witness_commands
from relying_party.settings import ROLE
from runtime.audit_log.any_log import AuditFileDamagedError, read_entries
from runtime.keys import load_public_keys
from runtime.progress import Progress
from runtime.settings import load, naming
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.boot_log.uefi_text import shown
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.identifiers import Ueid, parse_ueid_text, ueid_text
from schemas.messages.handle import Handle
from schemas.time_model import MAX_DRIFT_PPM

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DRIFT_PPM: Final = 1_000_000
_COLUMNS: Final = (
    *(("ENTRY", 6), ("ATTESTER", 12), ("SEQ", 5), ("MADE AFTER", 27), ("WITHIN S", 10), ("RECEIVED", 27)),
    *(("AFTER", 8), ("BEFORE", 8), ("HOLDS", 0)),
)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command ``audit``."""
    audit = commands.add_parser("audit", help="record, check and prove what verifiers said, and recompute it")
    kinds = audit.add_subparsers(dest="audit", required=True)
    prove_command.add_to(kinds)
    check_command.add_to(kinds)
    times = kinds.add_parser(
        "times",
        help="when each quote was made, without believing the verifier",
        description="Exit status: 0 all holds, 1 something does not, 2 a wrong option or file.",
    )
    audit_log_commands.add_to(kinds)
    witness_commands.add_to(kinds)
    record = kinds.add_parser("record", help="write an audit log of what is heard, until SIGTERM or Ctrl-C")
    record.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML settings of this recorder")
    record.add_argument("--check-config", action="store_true", help="read settings and keys, then exit")
    files: dict[str, Any] = {"type": Path, "action": "append", "default": [], "metavar": "PEM"}
    times.add_argument("--audit-log", required=True, metavar="LOG", help="of a verifier: folder, URL, or a file")
    times.add_argument("--distributor-key", **files, help="public key of a handle distributor")
    times.add_argument("--tsa-root", **files, help="root certificate of a Time Stamp Authority")
    times.add_argument("--tsa-intermediate", **files, help="certificate below it that tokens leave out")
    times.add_argument("--endorser-key", **files, help="public key of an endorser; without, no quote is verified")
    times.add_argument(
        "--drift-ppm", type=int, default=MAX_DRIFT_PPM, help="bound on clocks' rate error (default: %(default)s)"
    )
    times.add_argument("--ueid", help="evidence of this attester alone")
    times.add_argument("--json", action="store_true", help="a JSON object for each line")
    audit.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs what was asked for; 0 when all holds, 1 when something does not.

    Raises:
        ConfigError: names the option and the file.
    """
    if options.audit in audit_log_commands.KINDS:
        return audit_log_commands.run(options)
    match options.audit:
        case "record":
            return _record(options)
        case "witness":
            return witness_commands.run(options)
        case "prove":
            return prove_command.run(options)
        case "check":
            return check_command.run(options)
        case _:
            return _times(options)


def _record(options: argparse.Namespace) -> int:
    settings = load(options.config, RecorderSettings, f"{ROLE}-recorder")
    with naming(options.config):
        (check_recorder if options.check_config else run_recorder)(settings)
    if options.check_config:
        print(f"{options.config}: settings and keys are fine")
    return 0


def _times(options: argparse.Namespace) -> int:
    audit = TimeAudit(_believed(options), _only(options.ueid))
    stopped = ""
    try:
        with Progress("bytes of the log") as progress:
            done, size = 0, _size_of(options.audit_log)
            for number, raw in read_entries(options.audit_log):
                audit.read(number, raw)
                done += len(raw)
                progress.tell(done, size)
    except AuditFileDamagedError as error:
        stopped = error.detail
    except WorldError as error:  # a torn tail, or a verifier at work: what is whole counts
        print(shown(f"note: {error.detail}"), file=sys.stderr)
    except ConfigError as error:
        raise ConfigError(f"--audit-log: {error.detail}") from error
    rows = audit.rows()
    for line in map(_json_line, rows) if options.json else _table(rows):
        print(shown(line))
    return _conclude(rows, stopped)


def _size_of(log: str) -> int | None:
    """For the progress alone; None for what is no single file: a folder, a URL, or nothing, which its reader tells."""
    path = Path(log)
    return path.stat().st_size if path.is_file() else None


def _conclude(rows: list[Row], stopped: str) -> int:
    bad = [row for row in rows if row.problems]
    if bad:
        print(shown(f"entry {bad[0].index} (number {bad[0].number}): {bad[0].problems[0]}"), file=sys.stderr)
    if stopped:
        print(shown(f"after the entries above: {stopped}"), file=sys.stderr)
    pending = sum(bool(row.pending) for row in rows)
    print(f"{len(rows)} entries, {pending} pending, {len(bad)} that do not hold", file=sys.stderr)
    return 1 if bad or stopped else 0


def _believed(options: argparse.Namespace) -> Believed:
    for name in ("distributor_key", "tsa_root"):
        if not getattr(options, name):
            raise ConfigError(f"--{name.replace('_', '-')}: missing; without it no handle can be believed")
    if not 0 <= options.drift_ppm < _MOST_DRIFT_PPM:
        raise ConfigError(f"--drift-ppm: {options.drift_ppm}, expected 0 to {_MOST_DRIFT_PPM - 1}")
    with naming("--distributor-key"):
        distributors = load_public_keys(options.distributor_key)
    with naming("--tsa-root"):
        stamps = load_time_stamp_verifier(options.tsa_root, options.tsa_intermediate)
    with naming("--endorser-key"):
        endorsers = load_public_keys(options.endorser_key) if options.endorser_key else None
    if endorsers is None:
        print("note: no --endorser-key, so signatures of quotes and sync proofs are not verified", file=sys.stderr)
    return Believed(distributors=distributors, stamps=stamps, endorsers=endorsers, drift_ppm=options.drift_ppm)


def _only(text: str | None) -> Ueid | None:
    if text is None:
        return None
    try:
        return parse_ueid_text(text)
    except PeerError as error:
        raise ConfigError(f"--ueid: {error.detail}") from error


def _table(rows: Iterable[Row]) -> Iterator[str]:
    yield _line(name for name, _ in _COLUMNS)
    for row in rows:
        yield _line(
            (
                str(row.index),
                ueid_text(row.ueid)[:12] if row.ueid is not None else "-",
                str(row.sequence) if row.sequence is not None else "-",
                _time(row.after_us),
                f"{(row.before_us - row.after_us) / 1e6:.3f}"
                if row.before_us is not None and row.after_us is not None
                else "-",
                _time(row.received_us),
                _short(row.received_after),
                _short(row.received_before),
                _holds(row),
            )
        )


def _line(cells: Iterable[str]) -> str:
    return " ".join(cell.ljust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True)).rstrip()


def _holds(row: Row) -> str:
    if row.problems:
        return f"NO: {'; '.join(row.problems)}"
    return f"pending: {row.pending}" if row.pending else "yes"


def _json_line(row: Row) -> str:
    return json.dumps(
        {
            "index": row.index,
            "number": row.number,
            "kind": row.kind,
            "ueid": ueid_text(row.ueid) if row.ueid is not None else None,
            "sequence": row.sequence,
            "handle": row.handle.hex() if row.handle is not None else None,
            "made_after_us": row.after_us,
            "made_before_us": row.before_us,
            "recorded_made_after_us": row.recorded_after_us,
            "received_us": row.received_us,
            "received_after": row.received_after.id.hex() if row.received_after is not None else None,
            "received_before": row.received_before.id.hex() if row.received_before is not None else None,
            "pending": row.pending or None,
            "problems": row.problems,
        }
    )


def _time(time_us: int | None) -> str:
    if time_us is None:
        return "-"
    try:
        return (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except OverflowError:
        return str(time_us)


def _short(handle: Handle | None) -> str:
    return handle.id.hex()[:8] if handle is not None else "-"
