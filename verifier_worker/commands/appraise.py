"""``verifier-worker appraise``: tries a policy on recorded evidence and reports which verdicts would change."""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from runtime.audit_log.recorded_messages import read_captured
from runtime.command_line import Parsers
from runtime.keys import read_file
from runtime.settings import load, naming
from schemas.errors import ConfigError, PeerError
from schemas.identifiers import ueid_text
from verifier_worker.adapters.loaded_files import ROLE, compile_policy, load_files, load_policy
from verifier_worker.adapters.trust_store import TrustStore
from verifier_worker.audit.policy_trial import Comparison, DiscardedObjects, Judgement, PolicyTrial, count_changes
from verifier_worker.core.policy.in_force import Policies
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.settings import Settings

_SHOWN: Final = 50


def add_to(parsers: Parsers) -> None:
    """Adds ``appraise``."""
    command = parsers.add_parser("appraise", help="try a policy on recorded evidence; nothing is published")
    command.set_defaults(run=run)
    command.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the worker's settings: keys and roots to trust"
    )
    command.add_argument("--policy", type=Path, required=True, metavar="FILE", help="the policy to try (TOML)")
    command.add_argument(
        "--evidence",
        type=Path,
        required=True,
        metavar="PATH",
        help="audit log of a worker, or a folder of saved messages",
    )
    command.add_argument(
        "--reference-values",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="signed sets that the audit log does not hold: those to be published with the policy",
    )
    command.add_argument("--json", action="store_true", help="one line of JSON for each push")


def run(arguments: argparse.Namespace) -> None:
    """Replays recorded evidence under a policy and prints which verdicts would change. Changes nothing.

    Raises:
        ConfigError: names the file and what is wrong with it.
    """
    settings = load(arguments.config, Settings, ROLE)
    policy = load_policy(arguments.policy)
    with naming(arguments.config):
        trial = PolicyTrial(_trust(settings, policy, arguments.reference_values))
    comparisons = []
    for compared in trial.run(read_captured(arguments.evidence)):
        comparisons.append(compared)
        if arguments.json:
            print(_json(compared), flush=True)
    if not arguments.json:
        for line in _report(policy, comparisons, trial.problems):
            print(line)


def _trust(settings: Settings, policy: AppraisalPolicy, references: Iterable[Path]) -> TrustStore:
    files = load_files(settings)
    trust = TrustStore(
        DiscardedObjects(),
        endorsers=files.endorsers,
        distributors=files.distributors,
        stamps=files.stamps,
        policies=Policies(policy, compile_policy),
        scopes=files.scopes,
        on_trial=True,
    )
    for path in references:
        try:
            trust.assume(read_file(path))
        except PeerError as error:
            raise ConfigError(f"--reference-values {path}: {error}") from error
    return trust


def _report(policy: AppraisalPolicy, comparisons: list[Comparison], problems: list[str]) -> Iterator[str]:
    for problem in problems[:_SHOWN]:
        yield f"not trusted: {problem}"
    changed = [each for each in comparisons if each.differs]
    shown: dict[tuple[object, ...], Comparison] = {}
    for each in changed:
        shown.setdefault((each.ueid, _text(each.recorded), _text(each.tried)), each)
    for each in list(shown.values())[:_SHOWN]:
        yield f"{ueid_text(each.ueid)[:16]}… entry {each.number}: {_text(each.recorded)} -> {_text(each.tried)}"
        if each.tried is not None and each.tried.details:
            yield f"    {', '.join(each.tried.details[:8])}"
    if len(shown) > _SHOWN:
        yield f"… and {len(shown) - _SHOWN} more"
    devices, skipped = {each.ueid for each in changed}, sum(not each.comparable for each in comparisons)
    yield f"policy {policy.label}: {len(comparisons)} pushes of {len({each.ueid for each in comparisons})} attesters"
    if skipped:
        yield f"  {skipped} not compared: the log does not hold what came before them"
    if not comparisons:
        yield "  nothing compared: no evidence, or no attester of its groups"
    for (before, after), count in sorted(count_changes(comparisons).items()):
        yield f"  {before} -> {after}: {count} pushes"
    yield f"  {len(changed)} verdicts of {len(devices)} attesters would change"


def _text(judgement: Judgement | None) -> str:
    if judgement is None:
        return "refused"
    return f"{judgement.status} {','.join(judgement.reasons)}".strip()


def _json(compared: Comparison) -> str:
    def plain(judgement: Judgement | None) -> object:
        if judgement is None:
            return None
        return {"status": judgement.status, "reasons": judgement.reasons, "details": judgement.details}

    content = {
        "entry": compared.number,
        "ueid": ueid_text(compared.ueid),
        "recorded": plain(compared.recorded),
        "tried": plain(compared.tried),
        "comparable": compared.comparable,
        "differs": compared.differs,
    }
    return json.dumps(content, separators=(",", ":"))
