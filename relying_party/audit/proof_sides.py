"""The two sides of a proof: binds each result to its evidence, and replays the logs of their boots. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from relying_party.audit.proof_objects import JudgedBy, ProofObjects, Push
from relying_party.audit.proof_replay import BootReplay, Listing
from schemas.errors import PeerError
from schemas.instants import MILLISECOND_US, SECOND_US
from schemas.messages import result_token
from schemas.messages.handle import Handle
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.time_model import Interval
from schemas.tpm.attest import TimeAttestInfo
from schemas.verdicts import Freshness

Stamps = Mapping[int, Interval | None]  # by index of an entry: when its checkpoint was stamped
GAPS: Final = frozenset({Reason.SEQUENCE_GAP, Reason.LOG_GAP, Reason.BASELINE_REQUIRED})
# Under these the verifier replays nothing either: it drops the entries, or asks for the logs again.
_NOT_REPLAYED: Final = GAPS | {Reason.POLICY_MISSING, Reason.POLICY_CONFLICT, Reason.REFERENCE_VALUES_MISSING}
_PPM: Final = 1_000_000
# TPM2_ClockRateAdjust lets the owner of a TPM (reference implementation) run its time a fifth faster; in addition
# TPM 2.0 allows an error of 15 %. A policy does not bind that owner, so its drift bound is not used here.
_FASTEST_PPM: Final = 1_380_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The evidence on one side of the time asked for.

    Attributes:
        push: the evidence.
        handle: that its sync proof signs.
        result: signed by the verifier.
        after_us: lower bound for its time, by the TSA and the TPM's clock.
        stamped_us: upper bound for its time, by the TSA's stamp on its checkpoint; None without a stamp.
        received_us: receipt time; only the verifier vouches for it.
        judged_by: the policies and reference values of its result.
        listing: the measurements in its logs, compared with these.
        by_those_before: the same, compared with the reference values of the earlier side; None for the earlier side.
    """

    push: Push
    handle: Handle
    result: AttestationResult
    after_us: int
    stamped_us: int | None
    received_us: int
    judged_by: JudgedBy
    listing: Listing
    by_those_before: Listing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Appraised:
    """A signed result, what it was judged by, and the measurements in the logs up to its quote."""

    result: AttestationResult
    judged_by: JudgedBy
    listing: Listing
    by_those_before: Listing | None


def sides_of(
    objects: ProofObjects, before: int | None, after: int | None, stamps: Stamps
) -> tuple[Side | None, Side | None]:
    """The two sides, by the indices of their entries.

    Raises:
        PeerError: one of them is no evidence of this device, or what it needs is not there, or does not agree.
    """
    appraised = _appraised(objects, before, after)
    return _side(before, objects, stamps, appraised), _side(after, objects, stamps, appraised)


def _appraised(objects: ProofObjects, before: int | None, after: int | None) -> dict[int, _Appraised]:
    """Replays the pushes; returns result and measurements of each side, by index.

    A push between the sides need not replay: the verifier may have dropped it, for a reason that its result does not
    show here. Then the next side needs a baseline after it.
    """
    replay, appraised, failed = BootReplay(), dict[int, _Appraised](), None
    wanted = {each for each in (before, after) if each is not None}
    pushes = [push for push in objects.pushes if push.index <= max(wanted, default=-1)]
    for push, following in zip_longest(pushes, pushes[1:]):
        repeated = following is not None and following.evidence.body_digest == push.evidence.body_digest
        try:
            if push.index not in wanted and (repeated or _was_dropped(push)):
                continue
            replay.take(push.evidence, push.quote)
            if push.index in wanted:
                earlier = appraised.get(before) if before is not None and push.index == after else None
                appraised[push.index] = _appraise(push, objects, replay, earlier)
        except PeerError as error:
            problem = PeerError(error.reason, f"entry {push.index}: {error.detail}")
            if push.index in wanted:
                raise (
                    failed if failed is not None and error.reason is Reason.BASELINE_REQUIRED else problem
                ) from error
            replay, failed = BootReplay(), problem
    return appraised


def _was_dropped(push: Push) -> bool:
    """Whether the verifier did not replay the entries of this push. If its result lies, the replay fails later."""
    return not _NOT_REPLAYED.isdisjoint(result_token.read_unverified(push.token or b"").reasons)


def _appraise(push: Push, objects: ProofObjects, replay: BootReplay, earlier: _Appraised | None) -> _Appraised:
    if not replay.settled:
        raise PeerError(Reason.LOG_INCOMPLETE, "its logs are not complete: the rest came later")
    result = result_of(push, objects)
    if result.freshness is Freshness.FRESH and not result.logs_total and dict(result.logs) != dict(replay.next_index):
        replayed = dict(replay.next_index)
        raise _invalid(f"its result states {dict(result.logs)} entries, replayed were {replayed}")
    judged_by, now_s = push.judged_by(result), push.received_us // SECOND_US
    policies = judged_by.policies.values()
    return _Appraised(
        result=result,
        judged_by=judged_by,
        listing=replay.listing(judged_by.references, policies, now_s),
        by_those_before=replay.listing(earlier.judged_by.references, policies, now_s) if earlier is not None else None,
    )


def result_of(push: Push, objects: ProofObjects) -> AttestationResult:
    """The result in the entry of a push, by the verifier's signature.

    Raises:
        PeerError: nobody trusted signed it, or it is about other evidence.
    """
    result = result_token.verify(push.token or b"", result_token.result_keys(objects.verifiers))
    named = (result.ueid, result.evidence, result.handle, result.environment, result.received_us, result.sequence)
    body = push.evidence.body
    if named != (body.ueid, push.evidence.body_digest, push.handle, body.environment, push.received_us, body.sequence):
        raise _invalid("its result is about other evidence")
    return result


def _side(index: int | None, objects: ProofObjects, stamps: Stamps, appraised: Mapping[int, _Appraised]) -> Side | None:
    if index is None:
        return None
    push = next((each for each in objects.pushes if each.index == index), None)
    if push is None:
        raise _invalid(f"the proof does not hold evidence of this device as entry {index}")
    handle = objects.handles.get(push.handle)
    if handle is None:
        raise _invalid(f"entry {index}: the proof does not hold the handle of its sync proof")
    made = appraised[index]
    return Side(
        push=push,
        handle=handle,
        result=made.result,
        after_us=push.after_us if push.after_us is not None else handle.earliest_us,
        stamped_us=latest_us(stamps.get(index)),
        received_us=push.received_us,
        judged_by=made.judged_by,
        listing=made.listing,
        by_those_before=made.by_those_before,
    )


def latest_us(stamp: Interval | None) -> int | None:
    """The upper bound that a stamp gives; None without one."""
    return stamp.before_us if stamp is not None else None


def boot_of(push: Push) -> tuple[bytes, int, int]:
    """Key and counters. A higher restart count means a suspend or a TPM Restart, which empties the PCRs."""
    clock = push.quote.clock_info
    return push.evidence.body.environment, clock.reset_count, clock.restart_count


def is_same_boot(before: Side, after: Side) -> bool:
    """Whether key and counters are the same, and the clock and the audit log have gone on."""
    return (
        boot_of(before.push) == boot_of(after.push)
        and before.push.quote.clock_info.clock <= after.push.quote.clock_info.clock
        and before.push.index <= after.push.index
    )


def was_never_reset(before: Side, after: Side, objects: ProofObjects, stamps: Stamps) -> bool:
    """Whether a sync proof made after both sides shows that the TPM was not reset since before both.

    TPM2_GetTime signs the time since the last reset (or since power-on, if the TPM keeps counting through a warm
    reset). Nobody can set it. After a reset since the earlier side's sync proof, it could be at most the time that has
    passed since that proof, measured by the fastest clock that the TPM's owner can make of it. The later side's own
    sync proof does not suffice: its quote may have been made after a reset, over a proof from before the reset.
    """
    boot = before.push.evidence.body.environment, before.push.quote.clock_info.reset_count
    for push in objects.pushes:
        time, made_us, handle = push.sync.attested, latest_us(stamps.get(push.index)), objects.handles.get(push.handle)
        if not isinstance(time, TimeAttestInfo) or made_us is None or handle is None:
            continue
        if (push.evidence.body.environment, push.sync.clock_info.reset_count) != boot:
            continue
        if after.stamped_us is None or handle.earliest_us < after.stamped_us:
            continue
        longest_us = (made_us - before.handle.earliest_us) * _FASTEST_PPM // _PPM
        if time.time * MILLISECOND_US > longest_us + MILLISECOND_US:
            return True
    return False


def _invalid(detail: str) -> PeerError:
    return PeerError(Reason.AUDIT_PROOF_INVALID, detail)
