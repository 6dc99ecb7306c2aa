"""``relying-party audit fsck`` and ``audit consistency``: is this log whole, and is it still the one that it was?"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from relying_party.audit.fsck import MAX_FINDINGS, Demands, Finding, LogCheck
from relying_party.audit.repair import repair
from runtime.audit_log.any_log import JOURNAL
from runtime.audit_log.frames import AuditFileDamagedError
from runtime.audit_log.journal import JournalCursor, segments
from runtime.audit_log.object_store import open_store
from runtime.audit_log.signer import load_note_key
from runtime.audit_log.tile_log import LogReader
from runtime.durable import sole_user
from runtime.keys import read_file
from runtime.settings import naming
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.boot_log.uefi_text import shown
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.reasons import Reason
from schemas.tlog.checkpoint import verify_checkpoint
from schemas.tlog.consistency_proof import ConsistencyProof, parse_consistency_proof
from schemas.tlog.signed_note import NoteKey

KINDS: Final = frozenset({"fsck", "consistency"})
INTERRUPTED: Final = 130  # as a shell tells it: 128 + SIGINT
_US: Final = 1_000_000
_PROGRESS_FROM: Final = 10_000


def add_to(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds both commands."""
    status = "Exit status: 0 all holds, 1 something does not, 2 a wrong option or file."
    fsck = kinds.add_parser("fsck", help="check a log from its first entry to its last", description=status)
    _add_log(fsck)
    files: dict[str, Any] = {"type": Path, "action": "append", "default": [], "metavar": "PEM"}
    fsck.add_argument("--tsa-root", **files, help="root certificate of a TSA; without, stamps are not looked at")
    fsck.add_argument("--tsa-intermediate", **files, help="certificate below it that tokens leave out")
    fsck.add_argument(
        "--known", **{**files, "metavar": "NOTE"}, help="a checkpoint that was seen earlier: the log must extend it"
    )
    fsck.add_argument(
        "--tolerance-s", type=float, default=60.0, help="between clocks, receipt and stamp (default: %(default)s)"
    )
    fsck.add_argument("--repair", action="store_true", help="make tiles again that entries and checkpoints decide")
    consistency = kinds.add_parser("consistency", help="prove that one checkpoint extends another", description=status)
    _add_log(consistency, optional=True)
    consistency.add_argument("--from", dest="old", metavar="SIZE|NOTE", help="the smaller checkpoint")
    consistency.add_argument("--to", dest="new", metavar="SIZE|NOTE", help="the larger; the default is the newest")
    consistency.add_argument("--out", type=Path, metavar="FILE", help="write the proof")
    consistency.add_argument("--check", type=Path, metavar="FILE", help="verify such a proof instead; needs no log")


def _add_log(command: argparse.ArgumentParser, *, optional: bool = False) -> None:
    command.add_argument("log", metavar="LOG", nargs="?" if optional else None, help="folder, or s3://bucket/prefix")
    command.add_argument("--log-key", required=True, metavar="VKEY", help="the log's verifier key, or its file")


def run(options: argparse.Namespace) -> int:
    """Runs one of the two.

    Raises:
        ConfigError: names the option and the file.
        WorldError: the store does not answer.
    """
    try:
        return _fsck(options) if options.audit == "fsck" else _consistency(options)
    except KeyboardInterrupt:
        print("interrupted: nothing was concluded", file=sys.stderr)
        return INTERRUPTED


# ── fsck ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _fsck(options: argparse.Namespace) -> int:
    store = open_store(options.log)
    with naming("--log-key"):
        key = load_note_key(options.log_key)
    if options.tolerance_s < 0:
        raise ConfigError(f"--tolerance-s: {options.tolerance_s:g}, expected 0 or more")
    stamps = None
    if options.tsa_root:
        with naming("--tsa-root"):
            stamps = load_time_stamp_verifier(options.tsa_root, options.tsa_intermediate)
    reader = LogReader(store)
    if not reader.has_checkpoint() and not reader.checkpoints():
        if not segments(Path(options.log) / JOURNAL):
            raise ConfigError(f"{options.log}: no audit log: no checkpoint in it, and no journal")
        print("note: nothing was published yet; only its journal is there", file=sys.stderr)
    demands = Demands(
        key=key,
        stamps=stamps,
        known=[read_file(path) for path in options.known],
        tolerance_us=round(options.tolerance_s * _US),
    )
    check = _checked(reader, demands)
    journaled = _check_journal(check, Path(options.log) / JOURNAL)
    if options.repair and check.findings and all(each.repairable for each in check.findings) and check.entries_hold:
        with _alone(Path(options.log)):
            print(f"repaired: {repair(store, check.size)} objects written", file=sys.stderr)
        check = _checked(LogReader(store), demands)
        journaled = _check_journal(check, Path(options.log) / JOURNAL)
    for finding in sorted(check.findings, key=lambda each: each.index):
        print(shown(_line(finding)))
    _summarize(check, journaled, stamped=stamps is not None)
    return 1 if check.findings else 0


def _checked(reader: LogReader, demands: Demands) -> LogCheck:
    check = LogCheck(reader=reader, demands=demands)
    total = check.open()
    with _progress(total) as advance:
        for done in check.walk():
            advance(done)
    return check


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, when there is much to do."""
    console = Console(stderr=True)
    if not console.is_terminal or total < _PROGRESS_FROM:
        yield lambda _done: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("entries", total=total)
        yield lambda done: bar.update(task, completed=done)


def _check_journal(check: LogCheck, folder: Path) -> int:
    """Entries in the journal behind the tree; what is wrong with it goes to the findings."""
    there = segments(folder) if folder.is_dir() else []
    if not there:
        return 0
    if check.size < there[0].start <= check.reader.unverified_size():
        return 0  # the log's writer went on meanwhile
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
                problem = "another entry in the journal than in the tree"
                check.findings.append(Finding(index=index, reason=Reason.AUDIT_LOG_FORKED, detail=problem))
                return behind
    except (AuditFileDamagedError, WorldError) as error:
        check.findings.append(Finding(index=cursor.index, reason=Reason.AUDIT_LOG_ALTERED, detail=error.detail))
        return behind
    except PeerError:
        return behind  # the tree was found wanting already
    if cursor.unread_bytes():
        print("note: the journal is torn at its end, or is being written", file=sys.stderr)
    return behind


def _alone(log: Path) -> contextlib.AbstractContextManager[None]:
    return sole_user(log / JOURNAL, "LOG") if log.is_dir() else contextlib.nullcontext()


def _line(finding: Finding) -> str:
    place = f"entry {finding.index}" if finding.index >= 0 else "log"
    return f"{place}: {finding.reason}: {finding.detail}{' (can be repaired)' if finding.repairable else ''}"


def _summarize(check: LogCheck, journaled: int, *, stamped: bool) -> None:
    print(
        f"{check.size} entries ({check.evidence} evidence), {len(check.checkpoints)} checkpoints, "
        f"{len(check.stamps)} stamps, {journaled} more in the journal"
    )
    if check.pruned:
        print(f"pruned: the first entry that is left is {check.pruned}; of older ones the objects alone")
    if not stamped:
        print("note: no --tsa-root, so nobody but the log's key says when")
    if check.unreadable:
        print(f"note: {check.unreadable} entries of a kind that this software does not know")
    if len(check.findings) >= MAX_FINDINGS:
        print("note: there may be more; the first ones are shown")
    if check.findings:
        first = min(each.index for each in check.findings)
        print(f"does not hold; first bad entry: {first if first >= 0 else 'none, the log itself'}")
    else:
        print("holds")


# ── consistency ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _consistency(options: argparse.Namespace) -> int:
    with naming("--log-key"):
        key = load_note_key(options.log_key)
    if options.check is not None:
        return _verified(parse_proof_file(options.check), key, options.check)
    if options.log is None or options.old is None:
        raise ConfigError("LOG and --from: missing; or --check a proof")
    reader = LogReader(open_store(options.log))
    try:
        old = _note(reader, options.old)
        new = _note(reader, options.new) if options.new is not None else reader.checkpoint()
        sizes = verify_checkpoint(old, key).size, verify_checkpoint(new, key).size
        proof = ConsistencyProof(old=old, new=new, hashes=reader.consistency(*sizes))
    except PeerError as error:
        print(shown(f"no proof: {error.reason}: {error.detail}"), file=sys.stderr)
        return 1
    status = _verified(proof, key, options.log)
    if status == 0 and options.out is not None:
        try:
            options.out.write_bytes(proof.encoded)
        except OSError as error:
            raise ConfigError(f"--out: {options.out}: {error.strerror}") from error
    return status


def parse_proof_file(path: Path) -> ConsistencyProof:
    """Reads a proof.

    Raises:
        ConfigError: it is none.
    """
    try:
        return parse_consistency_proof(read_file(path))
    except PeerError as error:
        raise ConfigError(f"--check: {path}: {error.detail}") from error


def _verified(proof: ConsistencyProof, key: NoteKey, where: object) -> int:
    try:
        old, new = proof.verify(key)
    except PeerError as error:
        print(shown(f"{where}: does not hold: {error.reason}: {error.detail}"), file=sys.stderr)
        return 1
    print(f"holds: {old.origin}: {new.size} entries extend {old.size}, by {len(proof.hashes)} hashes")
    return 0


def _note(reader: LogReader, text: str) -> bytes:
    if text.isascii() and text.isdecimal():
        return reader.checkpoint_at(int(text))
    return read_file(Path(text))
