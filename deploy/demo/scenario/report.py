"""The outcome of a run: as JSON for programs, as a table for people."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from deploy.demo.layout import RunDirectory
from deploy.demo.machine.device import Device
from deploy.demo.problem import DemoError
from deploy.demo.scenario.outcomes import Expectation, History, codes_seen, result_counts
from deploy.demo.scenario.plan import Plan, devices_for_everything
from relying_party.result_board import Standing
from schemas.identifiers import ueid_text

_WIDTH: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        plan: of the run.
        devices: all of them.
        histories: of each device, by name.
        finals: the standing of each device at the end, by name.
        expectations: and whether they were met.
        counts: messages by topic.
        refused: messages on the results topic that did not verify, by code.
        restarts: how often a killed process was started again, by name.
        problem: why the run could not be finished; empty if it was finished.
    """

    plan: Plan
    devices: Sequence[Device]
    histories: Mapping[str, History]
    finals: Mapping[str, Standing | None]
    expectations: Sequence[Expectation]
    counts: Mapping[str, int]
    refused: Mapping[str, int]
    restarts: Mapping[str, int]
    problem: str

    @property
    def as_expected(self) -> bool:
        """Whether the run was finished and every expectation was met."""
        return not self.problem and bool(self.expectations) and all(each.met for each in self.expectations)


def write_report(outcome: Outcome, path: Path, run: RunDirectory, port: int, *, kept: bool) -> None:
    """Writes the JSON report.

    Args:
        outcome: of the run.
        path: of the report.
        run: the folders.
        port: of the broker.
        kept: whether ``run`` stays.

    Raises:
        DemoError: the file cannot be written.
    """
    content: dict[str, object] = {
        "as_expected": outcome.as_expected,
        "problem": outcome.problem or None,
        "broker": {"host": "127.0.0.1", "port": port},
        "counts": {**outcome.counts, "results": result_counts(outcome.histories), "results_refused": outcome.refused},
        "attesters": {device.name: _attester(outcome, device) for device in outcome.devices},
        "tampered": _tampered(outcome),
        "expectations": [asdict(each) for each in outcome.expectations],
        "left_out": list(outcome.plan.left_out),
        "restarts": outcome.restarts,
    }
    if kept:
        content["directory"] = str(run.root)
        content["public_keys"] = {name: str(run.public_key(name)) for name in ("endorser", "distributor", "verifier")}
        content["tsa_root"] = str(run.tsa / "tsa-root.pem")
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DemoError(f"--report {path}: {error.strerror}") from error


def summary(outcome: Outcome, root: Path, *, interrupted: bool) -> list[str]:
    """The expectations as lines of text, missed ones last; a long result goes below its line.

    Args:
        outcome: of the run.
        root: of the run; paths are printed relative to it.
        interrupted: the scenario was not over.
    """
    rows = [("", "device", "role", "expected", "seen")]
    rows += [
        ("ok" if each.met else "MISS", each.device, each.role, _below(root, each.expected), _below(root, each.seen))
        for each in sorted(outcome.expectations, key=lambda each: not each.met)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for row in rows:
        start = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        if len(start) + 2 + len(row[4]) <= _WIDTH:
            lines.append(f"{start}  {row[4]}")
        else:
            lines += [start.rstrip(), *textwrap.wrap(row[4], _WIDTH, initial_indent="    ", subsequent_indent="    ")]
    missed = [each for each in outcome.expectations if not each.met]
    if outcome.problem:
        lines.append(f"The run could not be finished: {outcome.problem}")
    if missed:
        lines.append(f"{len(missed)} of {len(outcome.expectations)} expectations were missed.")
    elif not outcome.problem:
        so_far = " so far; the scenario was not over" if interrupted else ""
        lines.append(f"All {len(outcome.expectations)} expectations were met{so_far}.")
    if outcome.plan.left_out:
        needed = devices_for_everything()
        lines.append(f"roles left out: {', '.join(outcome.plan.left_out)} (--attesters {needed} shows all)")
    return lines


def _below(root: Path, text: str) -> str:
    return text.replace(f"{root}/", "")


def _attester(outcome: Outcome, device: Device) -> dict[str, object]:
    final, history = outcome.finals.get(device.name), outcome.histories[device.name]
    about: dict[str, object] = {
        "ueid": None if device.ueid is None else ueid_text(device.ueid),
        "role": outcome.plan.roles[device.number],
        "status": None if final is None else final.status,
        "freshness": None if final is None else final.freshness,
        "reasons": [] if final is None else list(final.reasons),
        "unexpected": [] if final is None else list(final.result.unexpected),
        "logs": {} if final is None else dict(final.result.logs),
        "results": len(history.moments),
        "refused_as": codes_seen(history),
        "done": {action.value: [round(at_s, 1) for at_s in times] for action, times in history.actions.items()},
    }
    rejections = None if final is None else final.result.rejections
    about["rejected"] = 0 if rejections is None else rejections.count
    return about


def _tampered(outcome: Outcome) -> list[dict[str, object]]:
    return [
        {"device": name, "file": history.planted}
        for name, history in outcome.histories.items()
        if history.planted is not None
    ]
