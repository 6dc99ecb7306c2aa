"""What a proof needs of a policy's text: its sets, the paths that it excludes, the PCRs of its logs. Pure.

The verifier judged by the policy. An auditor reads it again, so that an answer does not rest on a verdict alone.
"""

import fnmatch
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.replay.log_replay import CEL, IMA, TCG2
from schemas.time_model import MAX_DRIFT_PPM

_MAX_PPM: Final = 1_000_000
_MAX_EXCLUDED: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """One policy.

    Attributes:
        references: names of the sets of reference values that apply.
        excluded: paths in the IMA list that need no reference value; None without one.
        logs: the PCRs that each log must explain.
        drift_ppm: bound on the rate error of a device's clock.
    """

    references: tuple[str, ...]
    excluded: re.Pattern[str] | None
    logs: Mapping[str, frozenset[int]]
    drift_ppm: int

    def excludes(self, path: str) -> bool:
        """Whether the policy needs no reference value for this path; a path that climbs up is never excluded."""
        return self.excluded is not None and "/../" not in path and self.excluded.fullmatch(path) is not None


def policy_facts(text: str) -> PolicyFacts:
    """Reads a policy. A member of another form counts as absent: then less is excused.

    Raises:
        PeerError: ``policy-invalid``: not TOML.
    """
    table = policy_table(text)
    drift = table.get("drift_ppm", MAX_DRIFT_PPM)
    patterns = [pattern for pattern in _texts(_table(table.get("ima")).get("exclude")) if pattern.startswith("/")]
    return PolicyFacts(
        references=tuple(_texts(table.get("reference_values"))),
        excluded=re.compile("|".join(map(fnmatch.translate, patterns[:_MAX_EXCLUDED]))) if patterns else None,
        logs=dict(_logs(_table(table.get("logs")))),
        drift_ppm=drift if isinstance(drift, int) and 0 <= drift < _MAX_PPM else MAX_DRIFT_PPM,
    )


def policy_table(text: str) -> Mapping[str, object]:
    """The table in a policy's text.

    Raises:
        PeerError: ``policy-invalid``: not TOML.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PeerError(Reason.POLICY_INVALID, f"policy: not TOML ({error})") from error


def _logs(table: Mapping[str, object]) -> Iterator[tuple[str, frozenset[int]]]:
    cel = ((f"{CEL}/{name}", given) for name, given in _table(table.get("cel")).items())
    for name, given in ((TCG2, table.get(TCG2)), (IMA, table.get(IMA)), *cel):
        indices = given.get("pcrs") if isinstance(given, dict) else given
        yield name, frozenset(each for each in _items(indices) if isinstance(each, int))


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _texts(value: object) -> Iterator[str]:
    return (each for each in _items(value) if isinstance(each, str))
