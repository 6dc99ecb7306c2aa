"""``verifier-worker policy-facts`` and ``appraise``: a policy author's tools."""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from runtime.audit_log.captured import read_captured
from runtime.keys import read_file
from runtime.settings import load, naming
from schemas.errors import ConfigError, PeerError
from schemas.identifiers import ueid_text
from verifier_worker.adapters.loaded_files import ROLE, compile_policy, load_material, load_policy
from verifier_worker.adapters.trust_store import TrustStore
from verifier_worker.audit.policy_trial import Comparison, Forgetful, Judgement, Trial, count_changes
from verifier_worker.core.policy.cel_rules import FACTS
from verifier_worker.core.policy.in_force import Policies
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.settings import Settings

_SHOWN: Final = 50


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of ``appraise``."""
    command.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the worker's settings: whom to trust"
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


def appraise(options: argparse.Namespace) -> Iterator[str]:
    """Replays recorded evidence under a policy and says which verdicts would change. Publishes and changes nothing.

    Raises:
        ConfigError: names the file and what is wrong with it.
    """
    settings = load(options.config, Settings, ROLE)
    policy = load_policy(options.policy)
    with naming(options.config):
        trial = Trial(_trust(settings, policy, options.reference_values))
    comparisons = []
    for compared in trial.run(read_captured(options.evidence)):
        comparisons.append(compared)
        if options.json:
            yield _json(compared)
    if not options.json:
        yield from _report(policy, comparisons, trial.problems)


def facts_text() -> Iterator[str]:
    """What a rule can ask about, one line a fact."""
    width = max(map(len, FACTS))
    for name, (kind, meaning) in FACTS.items():
        yield f"{name:<{width}}  {kind.name().lower():<18} {meaning}"


def _trust(settings: Settings, policy: AppraisalPolicy, references: Iterable[Path]) -> TrustStore:
    material = load_material(settings)
    trust = TrustStore(
        Forgetful(),
        endorsers=material.endorsers,
        distributors=material.distributors,
        stamps=material.stamps,
        policies=Policies(policy, compile_policy),
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
        yield "  nothing to try it on: no evidence, or no attester of its groups"
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
