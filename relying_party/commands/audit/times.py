"""``relying-party audit times``: recomputes the times of a verifier's audit log offline; a table or JSON lines."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from relying_party.audit.time_audit import Row, TimeAudit, TimeTrust
from runtime.audit_log.any_log import AuditFileDamagedError, read_entries
from runtime.keys import load_public_keys
from runtime.progress import Progress
from runtime.settings import naming
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.codecs.printable import printable
from schemas.errors import ConfigError, WorldError, as_config_error
from schemas.identifiers import Ueid, parse_ueid_text, ueid_text
from schemas.instants import iso_text
from schemas.messages.handle import Handle
from schemas.time_model import MAX_DRIFT_PPM

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_MOST_DRIFT_PPM: Final = 1_000_000
_COLUMNS: Final = (
    *(("ENTRY", 6), ("ATTESTER", 12), ("SEQ", 5), ("MADE AFTER", 27), ("WITHIN S", 10), ("RECEIVED", 27)),
    *(("AFTER", 8), ("BEFORE", 8), ("HOLDS", 0)),
)


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser(
        "times",
        help="when each quote was made, without trusting the verifier",
        description="Exit status: 0 all holds, 1 something does not, 2 a wrong option or file.",
    )
    files: dict[str, Any] = {"type": Path, "action": "append", "default": [], "metavar": "PEM"}
    command.add_argument("--audit-log", required=True, metavar="LOG", help="of a verifier: folder, URL, or a file")
    command.add_argument("--distributor-key", **files, help="public key of a handle distributor")
    command.add_argument("--tsa-root", **files, help="root certificate of a Time Stamp Authority")
    command.add_argument("--tsa-intermediate", **files, help="certificate below it, if tokens do not contain it")
    command.add_argument("--endorser-key", **files, help="public key of an endorser; without it, no quote is verified")
    command.add_argument(
        "--drift-ppm", type=int, default=MAX_DRIFT_PPM, help="bound on clocks' rate error (default: %(default)s)"
    )
    command.add_argument("--ueid", help="evidence of this attester alone")
    command.add_argument("--json", action="store_true", help="a JSON object for each line")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Recomputes and prints; returns 0 when all holds, 1 when something does not.

    Raises:
        ConfigError: names the option and the file.
    """
    audit = TimeAudit(_trust(options), _only(options.ueid))
    stopped = ""
    try:
        with Progress("bytes of the audit log") as progress:
            done, size = 0, _size_of(options.audit_log)
            for number, raw in read_entries(options.audit_log):
                audit.read(number, raw)
                done += len(raw)
                progress.report(done, size)
    except AuditFileDamagedError as error:
        stopped = error.detail
    except WorldError as error:  # the last entry is incomplete, or a verifier is writing it: the whole ones are audited
        print(printable(f"note: {error.detail}"), file=sys.stderr)
    except ConfigError as error:
        raise ConfigError(f"--audit-log: {error.detail}") from error
    rows = audit.rows()
    for line in map(_json_line, rows) if options.json else _table(rows):
        print(printable(line))
    return _conclude(rows, stopped)


def _size_of(log: str) -> int | None:
    """The size of a single file, for the progress; None for a folder, a URL or a missing file."""
    path = Path(log)
    return path.stat().st_size if path.is_file() else None


def _conclude(rows: list[Row], stopped: str) -> int:
    bad = [row for row in rows if row.problems]
    if bad:
        print(printable(f"entry {bad[0].index} (number {bad[0].number}): {bad[0].problems[0]}"), file=sys.stderr)
    if stopped:
        print(printable(f"after the entries above: {stopped}"), file=sys.stderr)
    pending = sum(bool(row.pending) for row in rows)
    print(f"{len(rows)} entries, {pending} pending, {len(bad)} that do not hold", file=sys.stderr)
    return 1 if bad or stopped else 0


def _trust(options: argparse.Namespace) -> TimeTrust:
    for name in ("distributor_key", "tsa_root"):
        if not getattr(options, name):
            raise ConfigError(f"--{name.replace('_', '-')}: missing; without it no handle can be verified")
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
    return TimeTrust(distributors=distributors, stamps=stamps, endorsers=endorsers, drift_ppm=options.drift_ppm)


def _only(text: str | None) -> Ueid | None:
    if text is None:
        return None
    with as_config_error("--ueid"):
        return parse_ueid_text(text)


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
    return "-" if time_us is None else iso_text(time_us)


def _short(handle: Handle | None) -> str:
    return handle.id.hex()[:8] if handle is not None else "-"
