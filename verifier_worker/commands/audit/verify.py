"""``verifier-worker audit verify``: derives every result of an audit log again, offline, on any machine."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from runtime.audit_log.any_log import AuditFileDamagedError, is_tiled_log, read_entries
from runtime.audit_log.log_reader import AuditLogReader
from runtime.audit_log.object_store import open_store
from runtime.audit_log.signer import load_note_key
from runtime.command_line import Parsers
from runtime.keys import load_public_keys
from runtime.progress import Progress
from runtime.settings import naming
from runtime.time_stamps.verifier import load_time_stamp_verifier, time_stamp_verifier_of
from schemas.audit.anchors import Anchors, thumbprint
from schemas.audit.entry import leaf_of
from schemas.codecs.printable import printable
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.reasons import Reason
from schemas.tlog.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from schemas.tlog.merkle import Frontier, leaf_hash
from schemas.tlog.signed_note import parse_note
from verifier_worker.audit.rederivation import EntryCounts, PinnedTrust, Problem, Rederivation

_MAX_REPORTED: Final = 50


def add_to(parsers: Parsers) -> None:
    """Adds ``audit verify``."""
    verify = parsers.add_parser(
        "verify",
        help="derive every result again from the recorded inputs",
        description="Offline; needs no broker, no TPM and no running service. Keys given here replace those that the "
        "verifier trusted according to the log. Exit status: 0 every result was derived again, 1 at least one was not, "
        "2 a wrong option or file.",
    )
    files: dict[str, Any] = {"type": Path, "action": "append", "default": []}
    verify.add_argument("log", metavar="LOG", help="folder or URL of a log, or the file of an earlier version")
    verify.add_argument("--log-key", metavar="VKEY", help="the log's verifier key, or a file with it")
    verify.add_argument("--endorser-key", **files, metavar="PEM", help="public key of an endorser")
    verify.add_argument("--distributor-key", **files, metavar="PEM", help="public key of a handle distributor")
    verify.add_argument("--verifier-key", **files, metavar="FILE", help="public key of the verifier: PEM or JWKS")
    verify.add_argument("--tsa-root", **files, metavar="PEM", help="root certificate of a Time Stamp Authority")
    verify.add_argument(
        "--tsa-intermediate", **files, metavar="PEM", help="certificate below it that time stamps leave out"
    )
    verify.add_argument(
        "--continued",
        action="store_true",
        help="the log continues an earlier one: ignore results that depend on that",
    )
    verify.add_argument("--json", action="store_true", help="a JSON object for each line")
    verify.set_defaults(run=run)


@dataclass(slots=True)
class _EntryTree:
    """The Merkle tree of the entries read so far, to compare with the signed checkpoint."""

    signed: Checkpoint | None
    frontier: Frontier = field(default_factory=Frontier)
    problem: Problem | None = None

    def take(self, index: int, raw: bytes) -> None:
        if self.signed is None or index >= self.signed.size or index != self.frontier.size:
            return
        self.frontier.append(leaf_hash(leaf_of(raw)[0]))
        if self.frontier.size == self.signed.size and self.frontier.root() != self.signed.root:
            detail = f"{Reason.AUDIT_LOG_ALTERED}: entries 0 to {index} are not those of the checkpoint; see audit fsck"
            self.problem = Problem(index=index, field="tree", detail=detail)


def run(options: argparse.Namespace) -> int:
    """Derives the results of a log again; returns 0 if all match, else 1.

    Raises:
        ConfigError: names the option and the file.
    """
    rederivation, tree = Rederivation(_pinned(options)), _EntryTree(signed=_checkpoint(options))
    stopped, of_tree = "", _is_tiled(options.log)
    try:
        with Progress("entries") as progress:
            for place, (number, raw) in enumerate(read_entries(options.log)):
                index = number if of_tree else place
                rederivation.take(index, raw)
                tree.take(index, raw)
                progress.report(rederivation.counts.entries)
    except AuditFileDamagedError as error:
        stopped = error.detail
    except WorldError as error:  # a torn tail, or a verifier is writing: use the whole entries
        print(printable(f"note: {error.detail}"), file=sys.stderr)
    problems = rederivation.problems + ([tree.problem] if tree.problem is not None else [])
    problems.sort(key=lambda problem: problem.index)
    lines = _json(rederivation, tree, problems) if options.json else _text(options, rederivation, tree, problems)
    for line in lines:
        print(printable(line))
    if stopped:
        print(printable(f"after the entries above: {stopped}"), file=sys.stderr)
    short = tree.signed is not None and tree.frontier.size < tree.signed.size and not rederivation.gaps
    underivable = rederivation.counts.underivable and not options.continued
    return int(bool(problems or stopped or short or underivable or not rederivation.counts.entries))


def _pinned(options: argparse.Namespace) -> PinnedTrust:
    keys = {}
    for name in ("endorser_key", "distributor_key", "verifier_key"):
        with naming(f"--{name.replace('_', '-')}"):
            keys[name] = load_public_keys(getattr(options, name)) or None
    stamps = None
    if options.tsa_root:
        with naming("--tsa-root"):
            stamps = load_time_stamp_verifier(options.tsa_root, options.tsa_intermediate)
    elif options.tsa_intermediate:
        raise ConfigError("--tsa-intermediate: needs --tsa-root")
    return PinnedTrust(
        stamps_of=time_stamp_verifier_of,
        endorsers=keys["endorser_key"],
        distributors=keys["distributor_key"],
        verifiers=keys["verifier_key"],
        stamps=stamps,
    )


def _checkpoint(options: argparse.Namespace) -> Checkpoint | None:
    """The newest checkpoint of a tiled log, verified if the log's key is given."""
    with naming("--log-key"):
        key = load_note_key(options.log_key) if options.log_key is not None else None
    if not _is_tiled(options.log):
        if key is not None:
            raise ConfigError(f"--log-key: {options.log} is no tiled log: no log key signed it")
        return None
    reader = AuditLogReader(open_store(options.log))
    try:
        raw = reader.checkpoint()
        if key is not None:
            return verify_checkpoint(raw, key)
        return parse_checkpoint(parse_note(raw).unverified_text)
    except PeerError as error:
        if key is None and error.reason is Reason.AUDIT_LOG_TRUNCATED:  # only a journal: no checkpoint yet
            return None
        raise


def _is_tiled(log: str) -> bool:
    return "://" in log or (Path(log).is_dir() and is_tiled_log(Path(log)))


def _json(made: Rederivation, tree: _EntryTree, problems: list[Problem]) -> Iterator[str]:
    for problem in problems:
        yield json.dumps({"index": problem.index, "field": problem.field, "detail": problem.detail})
    counts = made.counts
    yield json.dumps(
        {
            "entries": counts.entries,
            "objects": counts.objects,
            "starts": counts.starts,
            "results": counts.results,
            "refused": counts.refused,
            "underivable": counts.underivable,
            "forgotten": counts.forgotten,
            "lost": counts.lost,
            "unannounced": counts.unannounced,
            "problems": len(problems),
            "first_bad_index": problems[0].index if problems else None,
            "covered_by_checkpoint": tree.frontier.size if tree.signed is not None else None,
        }
    )


def _text(options: argparse.Namespace, made: Rederivation, tree: _EntryTree, problems: list[Problem]) -> Iterator[str]:
    counts = made.counts
    for problem in problems[:_MAX_REPORTED]:
        yield f"entry {problem.index}: {problem.field}: {problem.detail}"
    if len(problems) > _MAX_REPORTED:
        yield f"… and {len(problems) - _MAX_REPORTED} more"
    if made.anchors is not None:
        yield from _anchors_text(options, made.anchors)
    yield _tree_text(options, tree, counts, pruned=made.gaps)
    yield (
        f"{counts.entries} entries: {counts.results} results, {counts.refused} refused messages, "
        f"{counts.objects} objects, {counts.starts} of them starts of the verifier"
    )
    if counts.forgotten:
        yield f"note: {counts.forgotten} refused messages are in no result's count: the verifier stopped before one"
    if counts.lost:
        yield f"note: {counts.lost} times the verifier started without the attesters that it had stored before"
    if counts.unannounced:
        yield f"note: {counts.unannounced} times an attester was overdue for a minute, and no result reported it"
    if counts.underivable:
        yield f"{counts.underivable} results depend on the verifier's state before this log began: not derived"
    derived = counts.results - counts.underivable
    if problems:
        yield f"DOES NOT HOLD: {len(problems)} differences, the first at entry {problems[0].index}"
    elif not counts.entries:
        yield "an empty log"
    else:
        yield f"all {derived} results derived again, claim for claim" if derived else "no result was derived"


def _anchors_text(options: argparse.Namespace, anchors: Anchors) -> Iterator[str]:
    yield f"verifier {anchors.verifier}, {anchors.build}, and the keys that it trusted last, by its log:"
    for name, option, ders in (
        ("its key", "verifier_key", (anchors.key,)),
        ("endorser", "endorser_key", anchors.endorsers),
        ("distributor", "distributor_key", anchors.distributors),
        ("TSA root", "tsa_root", anchors.tsa_roots),
        ("TSA below", "tsa_root", anchors.tsa_intermediates),
    ):
        given = "your own were used" if getattr(options, option) else "not proven: only the log names it"
        for der in ders:
            yield f"  {name:<12} SHA-256 {thumbprint(der)}  {given}"


def _tree_text(options: argparse.Namespace, tree: _EntryTree, counts: EntryCounts, *, pruned: bool) -> str:
    if tree.signed is None:
        return "no checkpoint: nothing but the verifier's word keeps these entries together"
    signed = "" if options.log_key is not None else "; its signature was not checked: no --log-key"
    if pruned:
        return f"checkpoint of {tree.signed.size} entries, not compared with these: some were pruned{signed}"
    if tree.frontier.size < tree.signed.size:
        return f"{tree.signed.size - counts.entries} entries of the checkpoint are missing{signed}"
    after = counts.entries - tree.signed.size
    more = f", {after} after it are not covered yet" if after else ""
    return f"entries 0 to {tree.signed.size - 1} are those of the checkpoint{more}{signed}"
