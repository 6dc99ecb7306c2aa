"""The page about one attester, as text for people. Pure.

Claims that the verifier vouches for and claims of the attester itself are separate, each under its own heading. All
text from the network is escaped (invariant I34).
"""

from collections.abc import Iterator, Mapping
from typing import Final

from relying_party.result_board import Standing
from relying_party.terminal.selection import name_of
from schemas.codecs.printable import printable
from schemas.identifiers import ueid_text
from schemas.instants import SECOND_US, utc
from schemas.messages.result import AttestationResult
from schemas.text.reasons import explain
from schemas.text.verdicts import CLAIM_TEXTS, FRESHNESS_TEXTS, TIER_TEXTS, reasons_behind, value_text

_INDENT: Final = "  "


def text_of(standing: Standing, now_us: int) -> str:
    """The page about one attester, lines without colour.

    Args:
        standing: of the attester.
        now_us: UTC microseconds, for ages.
    """
    result = standing.result
    sections = (
        ("", _head(standing)),
        ("Why", _reasons(standing)),
        ("Trust claims", _vector(standing)),
        ("Time", _times(result, now_us)),
        ("Unexpected", _unexpected(result)),
        ("Measurement logs covered by the quote", _logs(result)),
        ("Reported by the device since the push before (not verified)", _transitions(result)),
        ("Verified claims: PCRs of this quote vouch for them", _claims(result.verified_claims)),
        ("The attester's own claims (not verified)", _claims(result.claims)),
        ("Refused on this attester's topic; no verdict changed by it", _rejections(result)),
        ("Origin", _origin(result)),
    )
    lines: list[str] = []
    for title, content in sections:
        body = list(content)
        if body:
            lines += ["", title] if title else []
            lines += [f"{_INDENT}{line}" if title else line for line in body]
    return "\n".join(lines)


def time_text(time_us: int | None, now_us: int) -> str:
    """A time in UTC and how long ago it was; a time outside the calendar as a number."""
    if time_us is None:
        return "not known"
    try:
        when = utc(time_us).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
    except OverflowError:
        return f"{time_us} µs"
    ago_s = (now_us - time_us) / SECOND_US
    return f"{when} ({ago_s:.1f} s ago)" if ago_s >= 0 else f"{when} (in {-ago_s:.1f} s)"


def _head(standing: Standing) -> Iterator[str]:
    yield f"{name_of(standing, {})}"
    yield f"UEID       {ueid_text(standing.result.ueid)}"
    yield f"status     {standing.status}: {TIER_TEXTS[standing.status]}"
    yield f"freshness  {standing.freshness}: {FRESHNESS_TEXTS[standing.freshness]}"
    signed = (standing.result.status, standing.result.freshness)
    if (standing.status, standing.freshness) != signed:
        yield f"           (the verifier signed {signed[0]}, {signed[1]}; that has expired)"


def _reasons(standing: Standing) -> Iterator[str]:
    for code in standing.reasons:
        text = explain(code)
        yield f"{printable(code)}: {text.meaning}"
        yield f"{_INDENT}next: {text.next_step}"


def _vector(standing: Standing) -> Iterator[str]:
    result = standing.result
    if not result.vector:
        yield "nothing concluded"
    for claim, value in sorted(result.vector.items()):
        behind = reasons_behind(claim, value, result.reasons)
        why = f"; {', '.join(map(printable, behind))}" if behind else ""
        yield f"{claim.label:<18} {value:>4}  {value_text(claim, value)} ({CLAIM_TEXTS[claim]}{why})"


def _times(result: AttestationResult, now_us: int) -> Iterator[str]:
    yield f"quote made not before  {time_text(result.made_after_us, now_us)}"
    yield f"quote made not after   {time_text(result.made_before_us, now_us)}"
    if result.made_after_us is not None and result.made_before_us is not None:
        yield f"the two are            {(result.made_before_us - result.made_after_us) / SECOND_US:.3f} s apart"
    yield f"received               {time_text(result.received_us, now_us)}"
    if result.received_after is not None:
        yield f"received after handle  {result.received_after.hex()}"
    yield f"result issued          {time_text(result.issued_s * SECOND_US, now_us)}"
    yield f"result expires         {time_text(result.expires_s * SECOND_US, now_us)}"
    if result.clock_rate_ppm is None:
        yield "clock rate             not known yet"
    else:
        low, high = result.clock_rate_ppm
        yield f"clock rate             {low:+d} to {high:+d} ppm against the Time Stamp Authority"


def _unexpected(result: AttestationResult) -> Iterator[str]:
    for number, path in enumerate(result.unexpected):
        digest = result.unexpected_digests[number] if number < len(result.unexpected_digests) else ""
        yield printable(path) + (f"  {printable(digest)}" if digest else "")
    more = result.unexpected_total - len(result.unexpected)
    if more > 0:
        yield f"and {more} more, which the result does not name"


def _logs(result: AttestationResult) -> Iterator[str]:
    for name in sorted(result.logs.keys() | result.logs_total.keys()):
        count = result.logs.get(name, 0)
        total = result.logs_total.get(name, count)
        yield f"{printable(name)}: {count} entries" + (f" of {total}, more to come" if total > count else "")


def _transitions(result: AttestationResult) -> Iterator[str]:
    for each in result.transitions:
        kind = each.kind.name.lower().replace("_", " ")
        yield f"{kind} at clock {each.clock_ms} ms, reset count {each.reset_count}, restart count {each.restart_count}"


def _claims(claims: Mapping[str, str | int | bool]) -> Iterator[str]:
    for name, value in sorted(claims.items()):
        shown = str(value).lower() if isinstance(value, bool) else printable(value)
        yield f"{printable(name)}: {shown}"


def _rejections(result: AttestationResult) -> Iterator[str]:
    rejected = result.rejections
    if rejected is not None:
        last = explain(rejected.last).meaning
        yield f"{rejected.count} messages; the last: {printable(rejected.last)} ({last})"


def _origin(result: AttestationResult) -> Iterator[str]:
    yield f"verifier     {printable(result.verifier)}"
    yield f"policies     {', '.join(map(printable, result.policies)) or 'none applied'}"
    yield f"references   {', '.join(map(printable, result.reference_values)) or 'not stated'}"
    yield f"handle       {result.handle.hex() if result.handle is not None else 'none'}"
    yield f"evidence     {result.evidence.hex() if result.evidence is not None else 'none'}"
    yield f"sequence     {result.sequence if result.sequence is not None else 'none'}"
    yield f"environment  {result.environment.hex() or 'none known'}"
