"""The state that a verifier keeps of each attester: a few KiB, however long the logs are.

``AttesterState`` is immutable; ``step`` makes the next one. ``state_codec`` has the stored form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from schemas.boot_log.facts import BootFacts
from schemas.hashes import HashAlgorithm
from schemas.identifiers import HandleId
from schemas.messages.evidence import ClaimValue, Transition
from schemas.messages.result import Rejections
from schemas.reasons import Reason
from schemas.replay.log_replay import ReplayState
from schemas.tpm.pcr import PcrSelection, PcrValues, initial_value
from schemas.verdicts import Freshness, Tier, TrustClaim
from verifier_worker.core.accounted import Accounted
from verifier_worker.core.clock_record import ClockRecord
from verifier_worker.core.finding import Finding
from verifier_worker.core.lasting import Lasting
from verifier_worker.core.policy.policy_file import AppraisalPolicy

Register: TypeAlias = tuple[int, int]  # TPM_ALG_ID of the bank, index


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPoint:
    """The last verified sync proof.

    Attributes:
        digest: SHA-256 of its bytes; the same proof in the next push is not verified again.
        handle: id of the handle that it signs.
        clock_ms, reset_count, restart_count: in its clock info.
        time_ms: since power-on, from TPM2_GetTime; None if the proof is a quote.
        stamped_before_us: a TSA stamped the proof at this time or earlier; None without such a stamp.
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
    """The outcome of the last appraisal. A later result repeats it or makes it stale."""

    status: Tier = Tier.NONE
    freshness: Freshness = Freshness.FRESH
    reasons: tuple[Reason, ...] = ()
    vector: Mapping[TrustClaim, int] = field(default_factory=dict)
    verified_claims: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraised:
    """Findings about measurements, and the claims that quoted PCRs vouch for.

    Valid until something new is measured, the policy object changes (compare by identity: a signed policy and the
    worker's own may share a label), or the reference values' label changes.
    """

    policy: AppraisalPolicy | None
    references: str
    findings: tuple[Finding, ...]
    verified_claims: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything that the measurement logs of this boot showed so far.

    Attributes:
        label: names the policy and reference values that judged the entries.
        owners: by bank (TPM_ALG_ID) and PCR, the logs whose entries extended it.
        unexpected: digest and path of the first few files without a reference value.
        unexpected_total: the number of all of them.
        excluded: the number of files without a reference value that the policy excludes.
        violations: the number of files that were written while they were measured.
        boot: facts from the boot log.
        aggregate_differs: a boot aggregate does not match the quoted PCRs.
        aggregates: label and digest of boot aggregates that wait for a quote that settles the PCRs.
        first_aggregate: the first entry of the IMA list, if it is a boot aggregate.
        aggregate_unverified: the quote does not cover the bank of that first entry.
        seen: patterns of the policy that a file in the IMA list matched since this kernel started, sorted.
        any_file: the IMA list holds a file that was measured since this kernel started.
        accepted: digests of lasting findings that a signed file has made acceptable since.
    """

    label: str = ""
    owners: Mapping[Register, tuple[str, ...]] = field(default_factory=dict)
    unexpected: tuple[tuple[bytes, str], ...] = ()
    unexpected_total: int = 0
    excluded: int = 0
    violations: int = 0
    boot: BootFacts = field(default_factory=BootFacts)
    aggregate_differs: bool = False
    aggregates: tuple[tuple[bytes, bytes], ...] = ()
    first_aggregate: tuple[bytes, bytes] | None = None
    aggregate_unverified: bool = False
    seen: tuple[str, ...] = ()
    any_file: bool = False
    accepted: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttesterState:
    """State of one attester within one boot.

    Attributes:
        environment: TPM name of the attesting key that signed the evidence.
        reset_count, restart_count, clock_ms: in the last accepted quote.
        sequence: of the last accepted push.
        evidence: body digest of the last accepted push.
        envelope: digest of all its bytes; a push with the same one is a duplicate.
        chained: body digest that the next delta must name as its previous; None if the next push must be a full one.
        sync: last verified sync proof.
        replay: PCR values and positions in the logs.
        selection: PCRs that the quotes cover; with another selection the state starts over.
        settled: the replayed logs reproduced the last quote; False while the rest of a long log is on its way.
        unsettled_us: receipt of the first push since then that was not settled; None while settled.
        earlier: the state before the last push, kept until a push is settled: the same body may come again with other
            unsigned bytes, and the first that reproduces its quote wins.
        unlogged: values of PCRs that no log explains.
        tails: entries received beyond the last quote, by log.
        claims: the attester's own claims; nothing proves them.
        measured: everything that the logs showed.
        lasting: findings of settled quotes of this boot.
        appraised: findings about ``measured``; None (as after a restart) makes appraisal compute them again.
        verdict: outcome of the last appraisal.
        received_us: receipt of the last accepted push.
        received_after: newest handle known at that receipt.
        made_after_us: its quote was made at this time or later; None while its handle is unknown.
        made_before_us: its quote was made at this time or earlier; never after the receipt.
        deadline_us: after this time silence makes the result stale; None once it is stale, or without a policy.
        clock_safe: the last quote's ``safe``.
        clock: synchronisations of this clock epoch, and the rate they show.
        handle_time_us: time of the newest handle of any accepted push.
        went_back: the counters have gone back once; from then on only handles tell a new quote from an old one.
        firmware_version: of the TPM, in the last accepted quote.
        rejections: refused messages.
        transitions: those that the last accepted push reported.
        accounted: which suspends of this boot were reported.
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
    unsettled_us: int | None = None
    selection: PcrSelection
    unlogged: PcrValues
    tails: Mapping[str, bytes] = field(default_factory=dict)
    claims: Mapping[str, ClaimValue] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)
    appraised: Appraised | None = field(default=None, compare=False)
    lasting: Lasting = field(default_factory=Lasting)
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
    earlier: "AttesterState | None" = None

    def value(self, bank: HashAlgorithm, index: int) -> bytes:
        """What the last settled quote says that a PCR held: as the logs explain it, as sent, or as it starts."""
        value = self.replay.registers.get(bank, {}).get(index) or self.unlogged.get(bank, index)
        return value or initial_value(bank, index, self.replay.startup_locality)

    @property
    def is_settled_by_last_push(self) -> bool:
        """Whether the last accepted push reproduced its quote."""
        return self.settled and self.chained == self.evidence

    transitions: tuple[Transition, ...] = ()
    accounted: Accounted = field(default_factory=Accounted)
