"""``relying-party audit fsck``: checks a whole audit log; repairs it where entries and checkpoints decide how."""

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relying_party.audit.fsck import MAX_FINDINGS, AuditLogCheck, Demands, Finding
from relying_party.audit.repair import repair
from runtime.audit_log.any_log import JOURNAL
from runtime.audit_log.frames import AuditFileDamagedError
from runtime.audit_log.journal import JournalCursor, segments
from runtime.audit_log.log_reader import AuditLogReader
from runtime.audit_log.object_store import open_store
from runtime.audit_log.signer import load_note_key
from runtime.command_line import EXIT_FAILED, EXIT_OK
from runtime.durable import sole_user
from runtime.keys import read_file
from runtime.progress import Progress
from runtime.settings import naming
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.codecs.printable import printable
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.instants import SECOND_US
from schemas.reasons import Reason

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    command = parsers.add_parser(
        "fsck",
        help="check a log from its first entry to its last",
        description="Exit status: 0 all holds, 1 something does not, 2 a wrong option or file.",
    )
    command.add_argument("log", metavar="LOG", help="folder, or s3://bucket/prefix")
    command.add_argument("--log-key", required=True, metavar="VKEY", help="the log's verifier key, or its file")
    files: dict[str, Any] = {"type": Path, "action": "append", "default": []}
    command.add_argument(
        "--tsa-root", **files, metavar="PEM", help="root certificate of a TSA; without it, stamps are not checked"
    )
    command.add_argument(
        "--tsa-intermediate", **files, metavar="PEM", help="certificate below it, if tokens do not contain it"
    )
    command.add_argument(
        "--known", **files, metavar="NOTE", help="a checkpoint that was seen earlier: the log must extend it"
    )
    command.add_argument(
        "--tolerance-s", type=float, default=60.0, help="between clocks, receipt and stamp (default: %(default)s)"
    )
    command.add_argument(
        "--repair",
        action="store_true",
        help="write damaged tiles again, where entries and checkpoints decide their content",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Checks a whole audit log; returns 0 when all holds, 1 when something does not.

    Raises:
        ConfigError: names the option and the file.
        WorldError: the store does not answer.
    """
    store = open_store(options.log)
    demands = _demands(options)
    reader = AuditLogReader(store)
    if not reader.has_checkpoint() and not reader.checkpoints():
        if not segments(Path(options.log) / JOURNAL):
            raise ConfigError(f"{options.log}: no audit log: no checkpoint in it, and no journal")
        print("note: nothing was published yet; there is only the journal", file=sys.stderr)
    check = _checked(reader, demands)
    journaled = _check_journal(check, Path(options.log) / JOURNAL)
    if options.repair and check.findings and all(each.repairable for each in check.findings) and check.entries_hold:
        with _alone(Path(options.log)):
            print(f"repaired: {repair(store, check.size)} objects written", file=sys.stderr)
        check = _checked(AuditLogReader(store), demands)
        journaled = _check_journal(check, Path(options.log) / JOURNAL)
    for finding in sorted(check.findings, key=lambda each: each.index):
        print(printable(_line(finding)))
    _summarize(check, journaled, stamped=demands.stamps is not None)
    return EXIT_FAILED if check.findings else EXIT_OK


def _demands(options: argparse.Namespace) -> Demands:
    with naming("--log-key"):
        key = load_note_key(options.log_key)
    if options.tolerance_s < 0:
        raise ConfigError(f"--tolerance-s: {options.tolerance_s:g}, expected 0 or more")
    stamps = None
    if options.tsa_root:
        with naming("--tsa-root"):
            stamps = load_time_stamp_verifier(options.tsa_root, options.tsa_intermediate)
    return Demands(
        key=key,
        stamps=stamps,
        known=[read_file(path) for path in options.known],
        tolerance_us=round(options.tolerance_s * SECOND_US),
    )


def _checked(reader: AuditLogReader, demands: Demands) -> AuditLogCheck:
    check = AuditLogCheck(reader=reader, demands=demands)
    total = check.open()
    with Progress("entries") as progress:
        for done in check.walk():
            progress.report(done, total)
    return check


def _check_journal(check: AuditLogCheck, folder: Path) -> int:
    """Checks the journal; returns the number of its entries that are not in the tree yet."""
    there = segments(folder) if folder.is_dir() else []
    if not there:
        return 0
    if check.size < there[0].start <= check.reader.unverified_size():
        return 0  # the audit log's writer has continued since
    if there[0].start > check.size:
        problem = f"the journal begins at {there[0].start}, the newest checkpoint has {check.size} entries"
        check.findings.append(Finding(index=check.size, reason=Reason.AUDIT_LOG_TRUNCATED, detail=problem))
        return 0
    start = max(there[0].start, 0)
    cursor, behind = JournalCursor(folder, start), 0
    try:
        for index, entry in enumerate(cursor.read(), start):
            if index >= check.size:
                behind += 1
            elif index >= check.pruned and entry != check.reader.entry(index):
                problem = "the journal and the tree have different entries"
                check.findings.append(Finding(index=index, reason=Reason.AUDIT_LOG_FORKED, detail=problem))
                return behind
    except (AuditFileDamagedError, WorldError) as error:
        check.findings.append(Finding(index=cursor.index, reason=Reason.AUDIT_LOG_ALTERED, detail=error.detail))
        return behind
    except PeerError:
        return behind  # the tree has findings already
    if cursor.unread_bytes():
        print("note: the last entry of the journal is incomplete, or is being written", file=sys.stderr)
    return behind


def _alone(log: Path) -> contextlib.AbstractContextManager[None]:
    return sole_user(log / JOURNAL, "LOG") if log.is_dir() else contextlib.nullcontext()


def _line(finding: Finding) -> str:
    place = f"entry {finding.index}" if finding.index >= 0 else "log"
    return f"{place}: {finding.reason}: {finding.detail}{' (can be repaired)' if finding.repairable else ''}"


def _summarize(check: AuditLogCheck, journaled: int, *, stamped: bool) -> None:
    print(
        f"{check.size} entries ({check.evidence} evidence), {len(check.checkpoints)} checkpoints, "
        f"{len(check.stamps)} stamps, {journaled} more in the journal"
    )
    if check.pruned:
        print(f"pruned: the first entry that is left is {check.pruned}; of older ones only the objects are left")
    if not stamped:
        print("note: no --tsa-root, so only the audit log's key vouches for times")
    if check.unreadable:
        print(f"note: {check.unreadable} entries of a kind that this software does not know")
    if len(check.findings) >= MAX_FINDINGS:
        print("note: only the first findings are shown; there may be more")
    if check.findings:
        first = min(each.index for each in check.findings)
        print(f"does not hold; first bad entry: {first if first >= 0 else 'none, the audit log itself'}")
    else:
        print("holds")
