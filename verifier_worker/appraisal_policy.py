"""Appraisal policies: what must be quoted, which log must explain which PCRs, which reference values apply, how old."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.errors import ConfigError, PeerError
from schemas.identifiers import parse_log_name
from schemas.log_replay import CEL, IMA, TCG2
from schemas.pcr import PcrSelection, parse_selection_text

_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsTable:
    """Which PCRs each log must explain (table ``[logs]``).

    ``cel`` is a table by name, ``cel = { app = [16] }``. Every entry of such a PCR needs a reference value, those of
    the boot log, too, if it is given the same PCR (as systemd's boot stub and userspace share 11).
    """

    tcg2: tuple[int, ...] = ()
    ima: tuple[int, ...] = ()
    cel: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTable:
    """The policy as it stands in its file.

    Attributes:
        id, version: name and version; results say which was applied.
        pcrs: PCRs that a quote must cover, as ``sha256:0-10``.
        reference_values: names of the sets whose values are acceptable.
        deadline_s: silence longer than this makes a result stale.
        result_lifetime_s: a result expires this long after the receipt of its evidence.
        max_age_s: evidence that may be older than this is stale, by the TPM's clock.
        max_handle_age_s: so is evidence bound to a handle older than this, whatever the clock says: it bounds what the
            owner of a device can gain by setting its clock. More than the distributor's interval.
        grace_s: how long after its expiry a handle still counts; at least the longest propagation delay (REIM 7.2.1).
        drift_ppm: bound on the rate error of a device's clock; TPM 2.0 allows 15 %, 150000 ppm.
        logs: PCRs that each log must explain.
    """

    id: str
    version: int
    pcrs: str
    reference_values: tuple[str, ...]
    deadline_s: float
    result_lifetime_s: float = 300.0
    max_age_s: float = 120.0
    max_handle_age_s: float = 300.0
    grace_s: float = 30.0
    drift_ppm: int = 150_000
    logs: LogsTable = field(default_factory=LogsTable)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppraisalPolicy:
    """A checked policy, times in microseconds. ``label`` is ``id/version``."""

    label: str
    pcrs: PcrSelection
    logs: Mapping[str, frozenset[int]]
    reference_values: tuple[str, ...]
    deadline_us: int
    result_lifetime_us: int
    max_age_us: int
    max_handle_age_us: int
    grace_us: int
    drift_ppm: int


def check_policy(table: PolicyTable) -> AppraisalPolicy:
    """Checks a policy table and turns it into what appraisal uses.

    Raises:
        ConfigError: names the field.
    """
    try:
        pcrs = parse_selection_text(table.pcrs)
        logs = {
            parse_log_name(name): frozenset(indices)
            for name, indices in (
                (TCG2, table.logs.tcg2),
                (IMA, table.logs.ima),
                *((f"{CEL}/{name}", indices) for name, indices in table.logs.cel.items()),
            )
            if indices
        }
    except PeerError as error:
        raise ConfigError(f"policy {table.id!r}: {error.detail}") from error
    for name, seconds in (("deadline_s", table.deadline_s), ("result_lifetime_s", table.result_lifetime_s)):
        if seconds <= 0:
            raise ConfigError(f"policy {table.id!r}: {name}: {seconds}, expected more than 0")
    if not 0 <= table.drift_ppm < _US:
        raise ConfigError(f"policy {table.id!r}: drift_ppm: {table.drift_ppm}, expected 0 to 999999")
    _check_disjoint(table.id, logs)
    covered = {index for _, index in pcrs}
    for name, indices in logs.items():
        if not indices <= covered:
            missing = sorted(indices - covered)
            raise ConfigError(f"policy {table.id!r}: logs.{name}: PCRs {missing} are not in pcrs {table.pcrs!r}")
    return AppraisalPolicy(
        label=f"{table.id}/{table.version}",
        pcrs=pcrs,
        logs=logs,
        reference_values=table.reference_values,
        deadline_us=int(table.deadline_s * _US),
        result_lifetime_us=int(table.result_lifetime_s * _US),
        max_age_us=int(table.max_age_s * _US),
        max_handle_age_us=int(table.max_handle_age_s * _US),
        grace_us=int(table.grace_s * _US),
        drift_ppm=table.drift_ppm,
    )


def _check_disjoint(policy: str, logs: Mapping[str, frozenset[int]]) -> None:
    """Of logs that grow, one for a PCR; CEL logs may go on with a PCR of the boot log."""
    seen: dict[int, str] = {}
    for name, indices in logs.items():
        for index in indices:
            shared = seen.get(index) == TCG2 and name.startswith(f"{CEL}/")
            if index in seen and not shared:
                raise ConfigError(f"policy {policy!r}: PCR {index} is claimed by logs.{seen[index]} and logs.{name}")
            seen[index] = name
