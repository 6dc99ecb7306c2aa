"""Appraisal policies: required PCRs and logs, reference values, age limits, weights of reasons, rules.

A policy is a TOML text. :func:`check_policy` makes an :class:`AppraisalPolicy` of its table, or reports an error.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from schemas.boot_log.command_line import COMMAND_LINE_PCR
from schemas.errors import ConfigError, PeerError
from schemas.identifiers import parse_log_name
from schemas.instants import SECOND_US
from schemas.limits import MAX_TEXT_BYTES
from schemas.messages.policy import ALL_GROUPS
from schemas.reasons import Reason
from schemas.reasons.table import REASONS
from schemas.replay.log_replay import CEL, IMA, TCG2
from schemas.tpm.pcr import PcrSelection, encode_selection, parse_selection_text
from schemas.tpm.pcr_properties import resettable_among
from schemas.verdicts import Weight
from verifier_worker.core.policy.cel_rules import MAX_RULES, Rule, compile_rule
from verifier_worker.core.policy.ima_demands import MAX_PATTERNS, ImaDemands, ImaTable, check_ima

_MAX_SECONDS: Final = 10 * 365 * 86_400
_MAX_TRUST_AGE_S: Final = 31 * 86_400
_SHA256_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTable:
    """One log's PCRs, ``{ pcrs = [16], resettable = true }``; a list of PCRs alone is not resettable.

    Attributes:
        pcrs: that the log must explain.
        resettable: some of them can be reset while the TPM runs, and the log speaks for the moment of its quote alone.
    """

    pcrs: tuple[int, ...]
    resettable: bool = False


LogPcrs: TypeAlias = tuple[int, ...] | LogTable


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsTable:
    """Which PCRs each log must explain (table ``[logs]``).

    ``cel`` is a table by name, ``cel = { app = [14] }``. Every entry of such a PCR needs a reference value. If the boot
    log has the same PCR (systemd's boot stub and userspace share 11), so do its events of that PCR.
    """

    tcg2: LogPcrs = ()
    ima: LogPcrs = ()
    cel: Mapping[str, LogPcrs] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootTable:
    """Facts about the boot that quoted PCRs must vouch for (table ``[boot]``).

    Attributes:
        secure_boot: Secure Boot must have been enforced (PCR 7).
        no_test_keys: no key in its databases may claim to be a test key (PCR 7).
        loaders: acceptable boot images (PCR 4), SHA-256 in hexadecimal: those that the firmware started, and those that
            they started. Empty: all images are acceptable.
        arguments: patterns of arguments that the kernel's command line must have, such as ``ima_policy=tcb`` (PCR 9).
    """

    secure_boot: bool = False
    no_test_keys: bool = False
    loaders: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTable:
    """One of ``[[rules]]``: a CEL expression over the facts of ``verifier-worker policy-facts``.

    Attributes:
        name: shown in results and logs.
        when: the expression; the rule holds if it is true.
        then: the weight: told, warning, none or contraindicated.
    """

    name: str
    when: str
    then: str = Weight.CONTRAINDICATED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTable:
    """A policy as its file has it.

    Attributes:
        id, version: name and version; results state which was applied. A signed policy has its signature's version.
        groups: of attesters, by their endorsements; ``*`` is every group that no policy names.
        pcrs: PCRs that a quote must cover, as ``sha256:0-10``.
        reference_values: names of the sets whose values are acceptable.
        deadline_s: silence longer than this makes a result stale.
        result_lifetime_s: a result expires this long after the receipt of its evidence.
        max_age_s: evidence that may be older than this, by the TPM's clock, is stale.
        max_handle_age_s: evidence with a handle older than this is stale, whatever the clock reads. This bounds the
            gain of a device's owner who sets its clock. Must be more than the distributor's interval.
        grace_s: how long a handle is still valid after its expiry; at least the longest propagation delay (REIM 7.2.1).
        drift_ppm: bound on the rate error of a device's clock; TPM 2.0 allows 15 %, 150000 ppm.
        trust_max_age_s: nothing is affirming once the endorser's statement of what is current is older than this; at
            most 31 days.
        remeasure_s: after acceptable files were removed, every attester's log is judged again, spread over this time.
            The new values judge files that run meanwhile. 0: all at once.
        logs, boot, ima: see their tables.
        weights: by reason code: ``told``, ``warning``, ``none`` or ``contraindicated``. A reason that reports an event,
            such as ``rebooted``, has its weight only in the result that reports it.
        rules: the policy's own rules.
    """

    id: str
    version: int = 0
    pcrs: str
    reference_values: tuple[str, ...]
    deadline_s: float
    groups: tuple[str, ...] = (ALL_GROUPS,)
    result_lifetime_s: float = 300.0
    max_age_s: float = 120.0
    max_handle_age_s: float = 300.0
    grace_s: float = 30.0
    drift_ppm: int = 150_000
    trust_max_age_s: float = 86_400.0
    remeasure_s: float = 300.0
    logs: LogsTable = field(default_factory=LogsTable)
    boot: BootTable = field(default_factory=BootTable)
    ima: ImaTable = field(default_factory=ImaTable)
    weights: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[RuleTable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedRule:
    """A rule that compiled."""

    rule: Rule
    weight: Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class AppraisalPolicy:
    """A checked policy, times in microseconds.

    Attributes:
        label: ``id/version``.
        measures: digest of the settings that decide how a log entry is judged. If it changes, logs are judged again.
        ima: demands on the IMA list.
        loaders: digests of acceptable boot images; empty if all are acceptable.
        arguments: patterns of arguments that the kernel's command line must have.
        unmarked: logs that it gives PCRs that can be reset, without ``resettable = true``, with these PCRs, in words.
            Only a signed policy can have some: an earlier release took it.
        weights: those that differ from the default weights of reasons.
        rules: compiled.
    """

    label: str
    measures: str
    groups: tuple[str, ...]
    pcrs: PcrSelection
    logs: Mapping[str, frozenset[int]]
    reference_values: tuple[str, ...]
    deadline_us: int
    result_lifetime_us: int
    max_age_us: int
    max_handle_age_us: int
    grace_us: int
    drift_ppm: int
    trust_max_age_us: int
    remeasure_us: int
    ima: ImaDemands
    secure_boot: bool
    no_test_keys: bool
    loaders: frozenset[bytes]
    arguments: tuple[str, ...]
    unmarked: tuple[str, ...]
    weights: Mapping[Reason, Weight]
    rules: tuple[WeighedRule, ...]


def check_policy(table: PolicyTable) -> AppraisalPolicy:
    """Checks a policy table and compiles its patterns and rules.

    Raises:
        ConfigError: names the field; for a rule, also line and column.
    """
    policy = read_policy(table)
    if policy.unmarked:
        raise ConfigError(
            f"policy {table.id!r}: logs.{policy.unmarked[0]} can be reset while the TPM runs, so its log shows only "
            "what was measured since: give the log a PCR from 0 to 15, or write { pcrs = [...], resettable = true }"
        )
    return policy


def read_policy(table: PolicyTable) -> AppraisalPolicy:
    """Like :func:`check_policy`, for a policy that is in force already: it may lack ``resettable = true``.

    Nothing is affirmed by such a policy. If it were not read, its group could fall to a weaker one.

    Raises:
        ConfigError: names the field; for a rule, also line and column.
    """
    try:
        return _check(table)
    except ConfigError as error:
        raise ConfigError(f"policy {table.id!r}: {error.detail}") from error


def _check(table: PolicyTable) -> AppraisalPolicy:
    try:
        pcrs = parse_selection_text(table.pcrs)
        logs = _check_logs(table.logs)
    except PeerError as error:
        raise ConfigError(error.detail) from error
    _check_times(table)
    _check_disjoint(logs)
    covered = {index for _, index in pcrs}
    for name, indices in logs.items():
        if not indices <= covered:
            raise ConfigError(f"logs.{name}: PCRs {sorted(indices - covered)} are not in pcrs {table.pcrs!r}")
    listed = (sorted(table.ima.exclude), sorted((name, sorted(each)) for name, each in logs.items()))
    wanted = (sorted(table.ima.agent), sorted(table.ima.required)) if IMA in logs else ()
    measures = repr((*listed, *wanted))
    return AppraisalPolicy(
        label=f"{table.id}/{table.version}",
        measures=hashlib.sha256(encode_selection(pcrs) + measures.encode()).hexdigest()[:16],
        groups=_check_groups(table.groups),
        pcrs=pcrs,
        logs=logs,
        reference_values=table.reference_values,
        deadline_us=int(table.deadline_s * SECOND_US),
        result_lifetime_us=int(table.result_lifetime_s * SECOND_US),
        max_age_us=int(table.max_age_s * SECOND_US),
        max_handle_age_us=int(table.max_handle_age_s * SECOND_US),
        grace_us=int(table.grace_s * SECOND_US),
        drift_ppm=table.drift_ppm,
        trust_max_age_us=int(table.trust_max_age_s * SECOND_US),
        remeasure_us=int(table.remeasure_s * SECOND_US),
        ima=check_ima(table.ima),
        secure_boot=table.boot.secure_boot,
        no_test_keys=table.boot.no_test_keys,
        loaders=_check_boot(table.boot, logs),
        arguments=_check_arguments(table.boot.arguments, logs),
        unmarked=_unmarked(table.logs),
        weights=_check_weights(table.weights),
        rules=_check_rules(table.rules),
    )


def _named_logs(table: LogsTable) -> Iterator[tuple[str, LogTable]]:
    named = ((TCG2, table.tcg2), (IMA, table.ima), *((f"{CEL}/{name}", given) for name, given in table.cel.items()))
    for name, given in named:
        yield name, given if isinstance(given, LogTable) else LogTable(pcrs=given)


def _check_logs(table: LogsTable) -> dict[str, frozenset[int]]:
    return {parse_log_name(name): frozenset(given.pcrs) for name, given in _named_logs(table) if given.pcrs}


def _unmarked(table: LogsTable) -> tuple[str, ...]:
    return tuple(
        f"{name}: PCR {', '.join(map(str, resettable))}"
        for name, given in _named_logs(table)
        if (resettable := resettable_among(given.pcrs)) and not given.resettable
    )


def _check_times(table: PolicyTable) -> None:
    for name, seconds in (("deadline_s", table.deadline_s), ("result_lifetime_s", table.result_lifetime_s)):
        if seconds <= 0:
            raise ConfigError(f"{name}: {seconds}, expected more than 0")
    others = ("max_age_s", "max_handle_age_s", "grace_s", "remeasure_s")
    for name in ("deadline_s", "result_lifetime_s", *others):
        seconds = getattr(table, name)
        if not 0 <= seconds <= _MAX_SECONDS:  # neither nan nor inf
            raise ConfigError(f"{name}: {seconds}, expected 0 to {_MAX_SECONDS}")
    if not 0 < table.trust_max_age_s <= _MAX_TRUST_AGE_S:
        raise ConfigError(f"trust_max_age_s: {table.trust_max_age_s}, expected more than 0, at most {_MAX_TRUST_AGE_S}")
    if not 0 <= table.drift_ppm < SECOND_US:
        raise ConfigError(f"drift_ppm: {table.drift_ppm}, expected 0 to 999999")


def _check_groups(groups: tuple[str, ...]) -> tuple[str, ...]:
    if not groups or any(not group or len(group) > MAX_TEXT_BYTES for group in groups):
        raise ConfigError(f"groups: expected names of groups, or {ALL_GROUPS!r} for all attesters")
    return groups


def _check_disjoint(logs: Mapping[str, frozenset[int]]) -> None:
    """Refuses a PCR with two logs. Exception: a CEL log may continue a PCR of the boot log."""
    seen: dict[int, str] = {}
    for name, indices in logs.items():
        for index in indices:
            shared = seen.get(index) == TCG2 and name.startswith(f"{CEL}/")
            if index in seen and not shared:
                raise ConfigError(f"PCR {index} is claimed by logs.{seen[index]} and logs.{name}")
            seen[index] = name


def _check_boot(table: BootTable, logs: Mapping[str, frozenset[int]]) -> frozenset[bytes]:
    needed = {7} if table.secure_boot or table.no_test_keys else set()
    needed |= {4} if table.loaders else set()
    missing = needed - logs.get(TCG2, frozenset())
    if missing:
        raise ConfigError(f"boot: needs PCRs {sorted(missing)}: give them to the boot log (logs.tcg2)")
    loaders = set()
    for text in table.loaders:
        if len(text) != _SHA256_CHARACTERS or not all(each in "0123456789abcdefABCDEF" for each in text):
            raise ConfigError(f"boot.loaders: {text[:80]!r}, expected a SHA-256 in hexadecimal")
        loaders.add(bytes.fromhex(text))
    return frozenset(loaders)


def _check_arguments(patterns: tuple[str, ...], logs: Mapping[str, frozenset[int]]) -> tuple[str, ...]:
    """Only a boot aggregate shows that PCR 9 was not extended after the kernel had started."""
    if patterns and not (COMMAND_LINE_PCR in logs.get(TCG2, ()) and IMA in logs):
        raise ConfigError(f"boot.arguments: needs PCR {COMMAND_LINE_PCR} in logs.tcg2, and logs.ima")
    if len(patterns) > MAX_PATTERNS or any(not pattern or len(pattern) > MAX_TEXT_BYTES for pattern in patterns):
        raise ConfigError(f"boot.arguments: expected at most {MAX_PATTERNS} patterns of one argument each")
    return patterns


def _check_weights(table: Mapping[str, str]) -> dict[Reason, Weight]:
    order = list(Weight)
    weights = {}
    for code, text in table.items():
        row = REASONS.get(code)
        if row is None or row.least_weight is None:
            adjustable = sorted(each.code for each in REASONS.values() if each.least_weight is not None)
            raise ConfigError(f"weights.{code}: not a reason whose weight can be chosen: {', '.join(adjustable)}")
        allowed = order[order.index(row.least_weight) :]
        if text not in allowed:
            raise ConfigError(f"weights.{code}: {text!r}, expected {', '.join(allowed)}")
        weights[row.code] = Weight(text)
    return weights


def _check_rules(tables: tuple[RuleTable, ...]) -> tuple[WeighedRule, ...]:
    if len(tables) > MAX_RULES:
        raise ConfigError(f"rules: {len(tables)}, the limit is {MAX_RULES}")
    rules = []
    for number, table in enumerate(tables):
        if table.then not in set(Weight):
            raise ConfigError(f"rules[{number}].then: {table.then!r}, expected {', '.join(Weight)}")
        try:
            rule = compile_rule(table.name, table.when)
        except ConfigError as error:
            raise ConfigError(f"rules[{number}] {table.name!r}: when: {error.detail}") from error
        rules.append(WeighedRule(rule=rule, weight=Weight(table.then)))
    if len({table.name for table in tables}) < len(tables):
        raise ConfigError("rules: two have the same name")
    return tuple(rules)
