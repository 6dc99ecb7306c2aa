"""The answer that a proof gives: yes, no, or not proven, with everything that a yes lacks. Pure.

*Yes* says that all that the device had measured up to the time was approved, by what was in force at the time. So it
needs two sides of one boot, and the same policy and reference values at both, since nothing in a proof shows what was
in force in between if they differ. It needs every result in between, and logs whose PCRs nobody can reset.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

from relying_party.audit.proof_between import Between
from relying_party.audit.proof_objects import ProofObjects
from relying_party.audit.proof_sides import Side
from schemas.instants import iso_text
from schemas.messages.result import AttestationResult
from schemas.verdicts import Freshness, Tier

_MOST_NAMED: Final = 10


class Verdict(StrEnum):
    """The answer."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "not proven"


def judge(
    at_us: int,
    before: Side | None,
    after: Side | None,
    between: Between | None,
    objects: ProofObjects,
    *,
    same_boot: bool,
    never_reset: bool,
) -> tuple[Verdict, tuple[str, ...]]:
    """The answer for a time, UTC microseconds, and why it is not yes or no, in sentences."""
    missing = [*_lacking(at_us, before, after), *_not_one_boot(before, after, same=same_boot, never_reset=never_reset)]
    if before is None or after is None or between is None:
        return Verdict.UNKNOWN, tuple(missing)
    bad = any(_was_bad_by(at_us, before, between, objects))
    if not bad:
        missing += [*_not_affirmed(before, after, between), *_not_looked_at(between)]
        missing += [*_changes(before, after, between, objects), *_not_approved(after), *_resettable(before, after)]
    if missing:
        return Verdict.UNKNOWN, tuple(missing)
    return (Verdict.NO if bad else Verdict.YES), ()


def _lacking(at_us: int, before: Side | None, after: Side | None) -> Iterator[str]:
    """What is not certainly before, or not certainly after the time."""
    if before is None:
        yield "no evidence from before that time: nothing shows that this boot was running then"
    elif before.stamped_us is None or before.stamped_us > at_us:
        if before.received_us <= at_us:
            yield "the first evidence was made before that time by the verifier's word alone: it has no stamp"
        else:
            yield "the first evidence was received after that time"
    if after is None:
        yield "no evidence from after that time: nothing shows what ran since the first evidence"
    elif after.after_us < at_us:
        yield "the second evidence may have been made before that time"
    elif after.handle.earliest_us < at_us:  # may have been quoted early, under a clock set forward, and sent later
        yield "the second evidence is from after that time by the TPM's clock alone, which its owner can set"


def _not_one_boot(before: Side | None, after: Side | None, *, same: bool, never_reset: bool) -> Iterator[str]:
    if before is not None and after is not None and not same:
        problem = "the two are of different boots, or a suspend lies between them, which can hide a restart of the TPM"
        yield f"{problem}: nothing shows what ran between them"
    if same and not never_reset:
        yield (
            "nothing shows that the TPM was not reset in between: a cleared TPM can reach the same counters again. "
            "A later sync proof by TPM2_GetTime must show that it was up for longer than all of that time"
        )


def _was_bad_by(at_us: int, before: Side, between: Between, objects: ProofObjects) -> Iterator[bool]:
    """Whether evidence was received before the time and found bad, by the verifier's word, and that was still in force.

    A policy or set that was received since may approve what was found.
    """
    results = [(before.result, before.received_us), *((each.result, each.received_us) for each in between.seen)]
    for result, received_us in results:
        if result.status is Tier.CONTRAINDICATED and received_us <= at_us:
            yield not any(received_us < changed_us <= at_us for changed_us in objects.receipts.values())


def _not_affirmed(before: Side, after: Side, between: Between) -> Iterator[str]:
    """Why the results do not decide the time between them."""
    if before.result.status is Tier.CONTRAINDICATED:
        yield "the first evidence was contraindicated; policy or reference values changed between it and that time"
    for each in between.seen:
        if each.result.status is Tier.CONTRAINDICATED:
            yield (
                f"the verifier contraindicated entry {each.index}, between the two: nothing shows whether that was "
                "measured before or after that time"
            )
    if after.result.status is Tier.CONTRAINDICATED:
        yield "something not approved was measured between the two: nothing shows whether before or after that time"
    elif after.result.status is not Tier.AFFIRMING or after.result.freshness is not Freshness.FRESH:
        yield "the verifier did not affirm the second evidence"


def _not_looked_at(between: Between) -> Iterator[str]:
    for text in between.unseen[:_MOST_NAMED]:
        yield f"not looked at: {text}"
    if len(between.unseen) > _MOST_NAMED:
        yield f"not looked at: {len(between.unseen) - _MOST_NAMED} more"


def _changes(before: Side, after: Side, between: Between, objects: ProofObjects) -> Iterator[str]:
    """Why nothing shows what was in force at the time: it must be the same before, after and in between."""
    if not before.result.reference_values or not after.result.reference_values:
        yield "the results do not state by which reference values they judged: an earlier release of the verifier"
        return
    policies = _changed(before.result.policies, after.result.policies)
    if policies:
        yield _change_text("the policy", before.result.policies, after.result.policies, objects)
    elif before.judged_by.texts != after.judged_by.texts:
        yield "the verifier's own policy has another text after than before, under the same name and version"
    if _changed_sets(before.result.reference_values, after.result.reference_values):
        sets = before.result.reference_values, after.result.reference_values
        yield _change_text("the reference values", *sets, objects)
        yield from _approved_since(before, after, objects)
    if not policies:
        yield from _judged_otherwise(before.result, between)


def _judged_otherwise(before: AttestationResult, between: Between) -> Iterator[str]:
    for each in between.seen:
        sets = each.result.reference_values
        if _changed(before.policies, each.result.policies) or _changed_sets(before.reference_values, sets):
            yield f"entry {each.index}, between the two, was judged by another policy or by other reference values"
            return


def _changed(one: Sequence[str], other: Sequence[str]) -> bool:
    return list(one) != list(other)


def _changed_sets(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether more or other values may be acceptable after than before: only outgoing values (``+``) may have ended."""
    ended = {label.removesuffix("+") for label in before}
    return sorted(before) != sorted(after) and not (
        len(before) == len(after) and all(label in before or (label in ended and label[-1] != "+") for label in after)
    )


def _change_text(what: str, one: Sequence[str], other: Sequence[str], objects: ProofObjects) -> str:
    new = [label.removesuffix("+") for label in other if label not in one]
    received = [
        f"{label} received at {iso_text(objects.receipts[label])}" for label in new if label in objects.receipts
    ]
    told = f" ({', '.join(received)}, by the verifier's word)" if received else ""
    names = f"from {', '.join(one) or 'none'} to {', '.join(other) or 'none'}"
    return f"{what} changed between the two, {names}{told}: nothing shows what was in force at that time"


def _approved_since(before: Side, after: Side, objects: ProofObjects) -> Iterator[str]:
    """What the reference values of the earlier side did not approve."""
    if after.by_those_before is None:
        return
    labels = [label.removesuffix("+") for label in after.result.reference_values]
    new = [
        label for label in labels if label not in {each.removesuffix("+") for each in before.result.reference_values}
    ]
    since = ", ".join(
        f"{label}, received at {iso_text(objects.receipts[label])}" for label in new if label in objects.receipts
    )
    added = sorted(after.by_those_before.open - after.listing.open)
    for path, digest in added[:_MOST_NAMED]:
        yield f"approved only since {since or 'a later version'}: {path} {digest}"
    if len(added) > _MOST_NAMED:
        yield f"approved only since {since or 'a later version'}: {len(added) - _MOST_NAMED} more"
    earlier, now = after.by_those_before, after.listing
    if earlier.registers - earlier.registers_listed > now.registers - now.registers_listed:
        yield f"approved only since {since or 'a later version'}: the value of a PCR"


def _not_approved(after: Side) -> Iterator[str]:
    """What neither the reference values nor the policy in this proof cover, whatever the verdict was."""
    listing = after.listing
    if after.result.status is Tier.AFFIRMING and listing.open:
        path, digest = min(listing.open)
        more = f", and {len(listing.open) - 1} more" if len(listing.open) > 1 else ""
        yield f"neither reference values nor policy approve {path} {digest}{more}, though the verifier affirmed"
    if after.result.status is Tier.AFFIRMING and listing.registers_listed < listing.registers:
        yield "a PCR has a value that the reference values do not approve, though the verifier affirmed"


def _resettable(before: Side, after: Side) -> Iterator[str]:
    indices = sorted({*before.listing.resettable, *after.listing.resettable})
    if indices:
        yield (
            f"PCR {', '.join(map(str, indices))} can be reset while the TPM runs: its log and value speak for the "
            "moment of each quote, and for no time between the two"
        )
