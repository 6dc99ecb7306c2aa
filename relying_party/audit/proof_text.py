"""Prints the answer of a proof in plain words, and as JSON."""

from collections.abc import Iterator, Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from relying_party.audit.proof_check import Answer, Head, ProofTrust
from relying_party.audit.proof_sides import Side
from relying_party.audit.proof_verdict import Verdict
from schemas.audit.anchors import public_der, thumbprint
from schemas.codecs.printable import printable
from schemas.identifiers import ueid_text
from schemas.instants import SECOND_US, iso_text
from schemas.verdicts import Tier

_MOST_FILES: Final = 10
_LINES: Final = {
    Verdict.YES: "PROVEN, YES: all that this device had measured up to that time was approved",
    Verdict.NO: "PROVEN, NO: before that time this device had measured something that was not approved",
    Verdict.UNKNOWN: "NOT PROVEN for that time; see below for everything that is shown",
}


def answer_lines(answer: Answer, trust: ProofTrust) -> Iterator[str]:
    """The answer, one statement a line. Names from outside are escaped, so none of them can begin a line."""
    yield from map(printable, _answer_lines(answer, trust))


def _answer_lines(answer: Answer, trust: ProofTrust) -> Iterator[str]:
    yield f"Was {ueid_text(answer.proof.ueid)}"
    yield f"running only approved software at {iso_text(answer.proof.at_us)}?"
    yield ""
    yield _LINES[answer.verdict]
    for reason in answer.missing:
        yield f"  missing: {reason}"
    yield ""
    if answer.before is not None:
        yield from _side_lines("BEFORE", answer.before)
    yield from _between_lines(answer)
    if answer.after is not None:
        yield from _side_lines("AFTER", answer.after)
    yield from _boot_lines(answer)
    yield ""
    yield "WHO VOUCHES FOR IT"
    yield from _voucher_lines(answer, trust)
    yield ""
    yield "WHAT THIS DOES NOT PROVE"
    yield from _limits(answer, trust)


def _side_lines(name: str, side: Side) -> Iterator[str]:
    result, push, listing = side.result, side.push, side.listing
    yield f"{name}: entry {push.index}, push {push.evidence.body.sequence} of boot {push.quote.clock_info.reset_count}"
    yield f"  made not before  {iso_text(side.handle.earliest_us)}  by the TSA's stamp on its handle"
    if side.after_us > side.handle.earliest_us:
        yield f"  nor before       {iso_text(side.after_us)}  by the TPM's clock, if nobody set it"
    if side.stamped_us is not None:
        yield f"  made not after   {iso_text(side.stamped_us)}  by the TSA's stamp on the log's checkpoint"
    yield f"  received         {iso_text(side.received_us)}  by the verifier's word"
    reasons = f" ({', '.join(result.reasons)})" if result.reasons else ""
    policies = ", ".join(result.policies) or "-"
    yield f"  the verdict was  {result.status}, {result.freshness}{reasons}, by policy {policies}"
    yield f"  reference values {', '.join(result.reference_values) or 'not stated'}"
    lengths = ", ".join(f"{name} {count}" for name, count in listing.entries.items())
    yield f"  logs replayed to the quoted PCR digest: {lengths or 'none'} entries"
    yield (
        f"  {listing.registers_listed} of {listing.registers} PCRs and {listing.listed + listing.signed} of "
        f"{listing.files} measured files are in the reference values of this proof"
    )
    if listing.violations:
        yield f"  {listing.violations} entries report that a file was written while it was measured"
    if listing.aggregates:
        yield f"  {listing.aggregates} entries claim to be boot_aggregate; only the verifier checked that claim"
    for path, digest in listing.unlisted[:_MOST_FILES]:
        yield f"    not listed: {path} {digest}"
    if listing.unlisted_total > _MOST_FILES:
        yield f"    … and {listing.unlisted_total - _MOST_FILES} more"
    if listing.excused:
        yield f"  the policy excludes {listing.excused} of these, or does not judge their log"


def _between_lines(answer: Answer) -> Iterator[str]:
    if answer.between is None:
        return
    seen, unseen = answer.between.seen, answer.between.unseen
    yield f"BETWEEN: {len(seen)} results" + ("" if unseen else ", and no other")
    for each in [each for each in seen if each.result.status is Tier.CONTRAINDICATED][:_MOST_FILES]:
        named = ", ".join(each.result.unexpected)
        yield f"  entry {each.index}, received {iso_text(each.received_us)}: contraindicated {named}"


def _boot_lines(answer: Answer) -> Iterator[str]:
    if not answer.same_boot:
        return
    resettable = answer.before is not None and answer.before.listing.resettable
    held = "" if resettable else "; the logs of AFTER hold everything measured since it began"
    yield f"SAME BOOT: same key, same counters, later clock{held}"
    if answer.never_reset:
        yield "  and TPM2_GetTime shows, in a later sync proof, that the TPM was not reset since before BEFORE"


def _voucher_lines(answer: Answer, trust: ProofTrust) -> Iterator[str]:
    yield f"  audit log    {trust.log_key.name}+{trust.log_key.key_id.hex()}"
    for head in answer.heads:
        yield f"    {_head_text(head)}"
        for witness, time_s in head.witnesses:
            when = iso_text(time_s * SECOND_US)
            yield f"    witness {witness.name}+{witness.key_id.hex()} saw it, {when} by its clock"
    for role, pinned, ders in (
        ("verifier", trust.verifiers, [each.key for each in answer.anchors]),
        ("endorser", trust.endorsers, [key for each in answer.anchors for key in each.endorsers]),
        ("distributor", trust.distributors, [key for each in answer.anchors for key in each.distributors]),
    ):
        yield from _key_lines(role, pinned, ders)
    for handle in {each.handle.claims.issuer for each in (answer.before, answer.after) if each is not None}:
        yield f"  handles of   {handle}, each stamped by a TSA below the given root"


def _head_text(head: Head) -> str:
    text = f"checkpoint of {head.checkpoint.size} entries, root {head.checkpoint.root.hex()[:16]}…"
    if head.stamped is None:
        return f"{text}, not stamped"
    return f"{text}, stamped {iso_text(head.stamped.before_us or 0)} at the latest"


def _key_lines(role: str, pinned: Mapping[bytes, EllipticCurvePublicKey] | None, ders: list[bytes]) -> Iterator[str]:
    how = "stated by the audit log" if pinned is None else "given by you"
    known = ders if pinned is None else [public_der(key) for key in pinned.values()]
    for der in dict.fromkeys(known):
        yield f"  {role:<12} key SHA-256 {thumbprint(der)}  {how}"


def _limits(answer: Answer, trust: ProofTrust) -> Iterator[str]:
    yield "  that software which is not measured is approved: the logs hold only what the device measures"
    yield "  that the audit log is complete, or that this file leaves nothing out: a revocation of the endorsement"
    if trust.endorsers is None or trust.distributors is None or trust.verifiers is None:
        yield "  that the keys 'stated by the audit log' belong to these roles: compare them, or give your own"
    if not any(head.witnesses for head in answer.heads):
        yield "  that the audit log shows everybody the same entries: no witness cosigned it"


def answer_json(answer: Answer, trust: ProofTrust) -> dict[str, object]:
    """The answer for programs."""
    return {
        "ueid": ueid_text(answer.proof.ueid),
        "at_us": answer.proof.at_us,
        "answer": str(answer.verdict),
        "missing": list(answer.missing),
        "before": _side_json(answer.before),
        "after": _side_json(answer.after),
        "between": None
        if answer.between is None
        else {
            "results": [
                {
                    "index": each.index,
                    "received_us": each.received_us,
                    "status": str(each.result.status),
                    "unexpected": list(each.result.unexpected),
                }
                for each in answer.between.seen
            ],
            "not_looked_at": list(answer.between.unseen),
        },
        "same_boot": answer.same_boot,
        "never_reset": answer.never_reset,
        "log": trust.log_key.text,
        "checkpoints": [
            {
                "size": head.checkpoint.size,
                "root": head.checkpoint.root.hex(),
                "stamped_before_us": head.stamped.before_us if head.stamped is not None else None,
                "witnesses": [witness.name for witness, _ in head.witnesses],
            }
            for head in answer.heads
        ],
        "by_the_logs_word": {
            "verifier": [thumbprint(each.key) for each in answer.anchors],
            "endorsers": [thumbprint(key) for each in answer.anchors for key in each.endorsers],
            "distributors": [thumbprint(key) for each in answer.anchors for key in each.distributors],
        },
    }


def _side_json(side: Side | None) -> dict[str, object] | None:
    if side is None:
        return None
    listing = side.listing
    return {
        "index": side.push.index,
        "sequence": side.push.evidence.body.sequence,
        "reset_count": side.push.quote.clock_info.reset_count,
        "made_after_us": side.after_us,
        "stamped_before_us": side.stamped_us,
        "received_us": side.received_us,
        "handle": side.handle.id.hex(),
        "status": str(side.result.status),
        "freshness": str(side.result.freshness),
        "reasons": list(side.result.reasons),
        "policies": list(side.result.policies),
        "reference_values": list(side.result.reference_values),
        "logs": dict(listing.entries),
        "files": listing.files,
        "files_listed": listing.listed,
        "files_signed": listing.signed,
        "violations": listing.violations,
        "boot_aggregates": listing.aggregates,
        "not_listed": [{"path": path, "digest": digest} for path, digest in listing.unlisted],
        "not_listed_total": listing.unlisted_total,
        "excused": listing.excused,
        "resettable_pcrs": list(listing.resettable),
        "pcrs": listing.registers,
        "pcrs_listed": listing.registers_listed,
    }
