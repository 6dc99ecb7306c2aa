"""The results about a device between the two sides of a proof, and whether all of them were looked at. Pure.

The maker of a proof chooses its entries, and could leave a bad result out. The device's own chain shows this: each push
names the body before it, and the attesting key signed that. A full push names none; there the sequence number must go
on. A push that is missing may have been lost on its way or left out. Nobody can tell, so it was not looked at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from relying_party.audit.proof_objects import ProofObjects, Push
from relying_party.audit.proof_sides import GAPS, Side, Stamps, boot_of, latest_us, result_of
from schemas.errors import PeerError
from schemas.messages import result_token
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.verdicts import Freshness


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One result that was looked at.

    Attributes:
        index: of its entry.
        received_us: receipt of its evidence, by the verifier's word.
        stamped_us: upper bound for that, by the TSA's stamp on its checkpoint; None without a stamp.
        result: signed by the verifier.
    """

    index: int
    received_us: int
    stamped_us: int | None
    result: AttestationResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """What was looked at.

    Attributes:
        seen: results about evidence after the earlier side and before the later one, and later results about these and
            about the earlier side, in the order of the audit log.
        unseen: what was not looked at, in sentences; empty if everything was.
    """

    seen: tuple[Seen, ...]
    unseen: tuple[str, ...]


def look_between(before: Side, after: Side, objects: ProofObjects, stamps: Stamps) -> Between:
    """Looks at each result between the sides.

    Raises:
        PeerError: nobody trusted signed one of them, or it is about other evidence.
    """
    pushes = [push for push in objects.pushes if before.push.index < push.index < after.push.index]
    seen = [
        Seen(
            index=push.index,
            received_us=push.received_us,
            stamped_us=latest_us(stamps.get(push.index)),
            result=_result(push, objects),
        )
        for push in pushes
    ]
    first = Seen(
        index=before.push.index, received_us=before.received_us, stamped_us=before.stamped_us, result=before.result
    )
    last = Seen(index=after.push.index, received_us=after.received_us, stamped_us=None, result=after.result)
    later = list(_later([first, *seen], objects, stamps))
    chain = list(zip([before.push, *pushes, after.push], [first, *seen, last], strict=True))
    unseen = [text for one, other in pairwise(chain) for text in _break(one[0], *other)]
    unseen += _undecided([first, *seen], later)
    return Between(seen=tuple(sorted([*seen, *later], key=lambda each: each.index)), unseen=tuple(unseen))


def _result(push: Push, objects: ProofObjects) -> AttestationResult:
    try:
        return result_of(push, objects)
    except PeerError as error:
        raise PeerError(error.reason, f"entry {push.index}: {error.detail}") from error


def _later(seen: Sequence[Seen], objects: ProofObjects, stamps: Stamps) -> Iterator[Seen]:
    """Results without a push that are about this evidence."""
    by_evidence = {each.result.evidence: each for each in seen}
    keys = result_token.result_keys(objects.verifiers)
    for entry in objects.later:
        result = result_token.verify(entry.token, keys)
        about = by_evidence.get(result.evidence)
        if about is not None and result.ueid == about.result.ueid:
            stamped_us = latest_us(stamps.get(entry.index))
            yield Seen(index=entry.index, received_us=about.received_us, stamped_us=stamped_us, result=result)


def _break(one: Push, other: Push, seen: Seen) -> Iterator[str]:
    """Why there may be a push between two that follow each other in the proof."""
    before, body = one.evidence.body, other.evidence.body
    where = f"between the entries {one.index} and {other.index}"
    follows = (
        body.sequence == before.sequence + 1 if body.previous is None else body.previous == one.evidence.body_digest
    )
    if boot_of(one) != boot_of(other):
        yield f"{where}, where the device was restarted"
    elif other.evidence.body_digest == one.evidence.body_digest:  # the same push again, with other unsigned bytes
        return
    elif not follows:
        yield f"push {before.sequence + 1} to push {body.sequence - 1}, {where}: lost on the way, or left out"
    elif not GAPS.isdisjoint(seen.result.reasons):
        yield f"{where}, where the verifier missed a push"


def _undecided(seen: Sequence[Seen], later: Sequence[Seen]) -> Iterator[str]:
    """Evidence whose handle came later: its verdict is in a later result, which must be there."""
    decided = {
        each.result.evidence
        for each in later
        if each.result.freshness is not Freshness.PENDING and Reason.EVIDENCE_OVERDUE not in each.result.reasons
    }
    for each in seen:
        if each.result.freshness is Freshness.PENDING and each.result.evidence not in decided:
            yield f"the verdict about entry {each.index}, which waited for its handle"
