"""What a verifier remembers of one attester, and its stored form.

Bounded: a few KiB whatever the length of the logs. ``AttesterState`` is immutable; ``step`` makes the next one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.boot_log.facts import BootFacts
from schemas.identifiers import HandleId
from schemas.messages.evidence import ClaimValue, Transition
from schemas.messages.result import Rejections
from schemas.reasons import Reason
from schemas.replay.log_replay import ReplayState
from schemas.tpm.pcr import PcrSelection, PcrValues
from schemas.verdicts import Freshness, Tier, TrustClaim, Weight
from verifier_worker.core.clock_record import ClockRecord
from verifier_worker.core.policy.policy_file import AppraisalPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPoint:
    """The last verified sync proof.

    Attributes:
        digest: SHA-256 of its bytes; the same proof in the next push is not verified again.
        handle: id of the handle it signs.
        clock_ms, reset_count, restart_count: of its clock info.
        time_ms: of TPM2_GetTime: since power-on; None for a quote.
        stamped_before_us: a TSA stamped it not after this; None without such a token.
    """

    digest: bytes
    handle: HandleId
    clock_ms: int
    reset_count: int
    restart_count: int
    time_ms: int | None = None
    stamped_before_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of the last appraisal, kept so that a later result can repeat or age it."""

    status: Tier = Tier.NONE
    freshness: Freshness = Freshness.FRESH
    reasons: tuple[Reason, ...] = ()
    vector: Mapping[TrustClaim, int] = field(default_factory=dict)
    verified_claims: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason and what it is about, for people.

    Attributes:
        reason: the code.
        detail: a path, a PCR, a rule's name.
        digest: of what was measured, where it is about that.
        weight: what a policy's rule gives it.
    """

    reason: Reason
    detail: str = ""
    digest: bytes = b""
    weight: Weight | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraised:
    """Findings about measurements and what quoted PCRs vouch for.

    Good until something is measured, or judged under another policy -- this very one, whatever it calls itself: a
    signed one and the worker's own may share a label -- or under reference values of another label.
    """

    policy: AppraisalPolicy | None
    references: str
    findings: tuple[Finding, ...]
    verified_claims: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the logs of this boot showed so far, against the reference values named by ``label``.

    Attributes:
        label: policy and reference values it was appraised with.
        owners: by PCR, the logs whose entries extended it.
        unexpected: digest and path of files that no reference value covers; the first few.
        unexpected_total: all of them.
        excluded: files without a reference value that the policy does not ask about.
        violations: entries of files that were written while measured.
        boot: what the boot log adds up to.
        aggregate_differs: a boot aggregate is not that of the quoted PCRs.
        aggregates: label and digest of boot aggregates that wait for a quote that settles the PCRs.
    """

    label: str = ""
    owners: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    unexpected: tuple[tuple[bytes, str], ...] = ()
    unexpected_total: int = 0
    excluded: int = 0
    violations: int = 0
    boot: BootFacts = field(default_factory=BootFacts)
    aggregate_differs: bool = False
    aggregates: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttesterState:
    """State of one attester within one boot.

    Attributes:
        environment: TPM name of the attesting key that the state was built from.
        reset_count, restart_count, clock_ms: of the last accepted quote.
        sequence: of the last accepted push.
        evidence: body digest of the last accepted push.
        envelope: digest of all its bytes; the same again is a duplicate.
        chained: body digest that the next delta must name as its previous; None when only a full push can go on.
        sync: last verified sync proof.
        replay: PCR values and positions in the logs.
        selection: what the quotes cover; another selection starts over.
        settled: the replayed logs reproduced the last quote; False while the rest of a long log is on its way.
        unlogged: values of PCRs that no log explains.
        tails: entries received beyond the last quote, by log.
        totals: entries the attester says it has, by log.
        claims: the attester's claims (its word).
        measured: what the logs showed.
        appraised: findings about it; None, as after a restart, makes them anew. Not part of what a state says.
        verdict: outcome of the last appraisal.
        received_us: receipt of the last accepted push.
        received_after: newest handle that was known then.
        made_after_us: lower bound of when its quote was made; None while its handle is unknown.
        made_before_us: upper bound, not after the receipt.
        deadline_us: silence until then is normal; None when a stale result has been issued for it.
        clock_safe: the last quote's ``safe``.
        clock: synchronisations of this clock epoch, and the rate they show.
        handle_time_us: time of the newest handle of any accepted push.
        went_back: the counters have gone back once; now only handles tell a new quote from an old one.
        firmware_version: of the TPM, in the last accepted quote.
        rejections: refused messages.
        transitions: that the last accepted push reported.
    """

    environment: bytes
    reset_count: int
    restart_count: int
    clock_ms: int
    sequence: int
    evidence: bytes
    envelope: bytes
    chained: bytes | None
    sync: SyncPoint
    replay: ReplayState
    settled: bool
    selection: PcrSelection
    unlogged: PcrValues
    tails: Mapping[str, bytes] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)
    claims: Mapping[str, ClaimValue] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)
    appraised: Appraised | None = field(default=None, compare=False)
    verdict: Verdict = field(default_factory=Verdict)
    received_us: int
    received_after: HandleId | None = None
    made_after_us: int | None = None
    made_before_us: int | None = None
    deadline_us: int | None = None
    clock_safe: bool = True
    clock: ClockRecord = field(default_factory=ClockRecord)
    handle_time_us: int | None = None
    went_back: bool = False
    firmware_version: int = 0
    rejections: Rejections | None = None
    transitions: tuple[Transition, ...] = ()
