"""JSON for the page: a compact row for each attester, and everything about one of them. Pure.

Everything is text, numbers and lists of them; the page inserts text as text, never as HTML. Times are UTC seconds.
"""

import base64
import json
import math
from collections.abc import Iterable
from typing import Final

from relying_party.dashboard.fleet import SHOWN_LOGS, Change, Device, Fleet, Refusal, View, view_of
from relying_party.dashboard.handle_watch import HandleWatch, seen_json
from relying_party.dashboard.page_texts import sentence
from relying_party.result_board import Standing
from schemas.identifiers import HandleId, ueid_text
from schemas.instants import SECOND_US
from schemas.messages.result import AttestationResult
from schemas.reasons.table import REASONS
from schemas.verdicts import tier_of

COLUMNS: Final = (
    "ueid",
    "label",
    "status",
    "freshness",
    "reasons",
    "issued",
    "expires",
    "made_after",
    "received",
    "handle",
    "logs",
    "rate",
    "rejected",
    "refused",
    "refused_code",
    "refused_at",
    "refusal_stands",
    "verifier",
)
_LABEL_CHARACTERS: Final = 64
_SAMPLE_DIGITS: Final = 3


def reasons_json() -> dict[str, list[object]]:
    """For each reason code: its meaning, the trust claims that it can explain (empty for any), and the next step."""
    return {
        row.code.value: [
            sentence(row.meaning),
            [claim.label for claim in row.claims],
            sentence(row.next_step),
        ]
        for row in REASONS.values()
    }


def row_json(fleet: Fleet, device: Device) -> str:
    """The row of an attester, a list in the order of :data:`COLUMNS`. It does not depend on the time.

    The page decides every second whether the result has expired, by ``expires``.
    """
    if device.row_revision != device.revision:
        device.row = json.dumps(_row(fleet.standing(device, 0), device), separators=(",", ":"))
        device.row_revision = device.revision
    return device.row


def rows_json(fleet: Fleet, devices: Iterable[Device]) -> str:
    """The rows of several attesters, a list of lists."""
    return f"[{','.join(row_json(fleet, device) for device in devices)}]"


def timeline_of(fleet: Fleet) -> list[list[float]]:
    """The fleet's time line: for each point its time and the number of attesters in each :class:`View`."""
    return [list(record) for record in fleet.timeline.records()]


def detail_of(
    fleet: Fleet, device: Device, handles: HandleWatch, now_s: float, *, for_auditor: bool
) -> dict[str, object]:
    """Everything about one attester.

    Args:
        fleet: that it belongs to.
        device: the attester.
        handles: to look up the handle that its result names.
        now_s: UTC seconds.
        for_auditor: include raw results, claims and unexpected files.
    """
    standing = fleet.standing(device, now_s)
    detail: dict[str, object] = {
        "ueid": ueid_text(device.ueid),
        "now": now_s,
        "revision": device.revision,
        "for_auditor": for_auditor,
        "view": view_of(standing, device.refusal),
        "row": json.loads(row_json(fleet, device)),
        "changes": [_change(change) for change in reversed(device.changes)],
        "log_names": list(device.logs),
        "samples": [_sample(record) for record in device.samples.records()] if device.samples is not None else [],
        "refusal": _refusal(device.refusal, for_auditor=for_auditor),
        "result": None,
        "raw": None,
    }
    if standing is not None:
        detail["result"] = _result(standing, handles, for_auditor=for_auditor)
        detail["raw"] = _token(device.token) if for_auditor else None
    return detail


def _row(standing: Standing | None, device: Device) -> list[object]:
    refusal = device.refusal
    refused = [0, "", 0, 0] if refusal is None else [refusal.count, refusal.code, refusal.at_s, int(refusal.is_newest)]
    name = ueid_text(device.ueid)
    if standing is None:
        return [name, "", "", "", [], 0, 0, None, None, "", [], None, 0, *refused, ""]
    result = standing.result
    return [
        name,
        _label(result),
        standing.status,
        standing.freshness,
        list(standing.reasons),
        result.issued_s,
        result.expires_s,
        _seconds(result.made_after_us),
        _seconds(result.received_us),
        _hex(result.handle)[:16],
        _logs(result),
        list(result.clock_rate_ppm) if result.clock_rate_ppm is not None else None,
        0 if result.rejections is None else result.rejections.count,
        *refused,
        result.verifier,
    ]


def _label(result: AttestationResult) -> str:
    """What the attester calls itself: its word, for people to find it by."""
    label = result.claims.get("label")
    return label[:_LABEL_CHARACTERS] if isinstance(label, str) else ""


def _logs(result: AttestationResult) -> list[list[object]]:
    names = sorted(result.logs.keys() | result.logs_total.keys(), reverse=True)[:SHOWN_LOGS]
    return [[name, result.logs.get(name, 0), result.logs_total.get(name, result.logs.get(name, 0))] for name in names]


def _result(standing: Standing, handles: HandleWatch, *, for_auditor: bool) -> dict[str, object]:
    result = standing.result
    content: dict[str, object] = {
        "status": result.status,
        "freshness": result.freshness,
        "reasons": list(result.reasons),
        "vector": [
            {"claim": claim.label, "value": value, "tier": tier_of(value)}
            for claim, value in sorted(result.vector.items())
        ],
        "verifier": result.verifier,
        "environment": result.environment.hex(),
        "issued": result.issued_s,
        "expires": result.expires_s,
        "made_after": _seconds(result.made_after_us),
        "made_before": _seconds(result.made_before_us),
        "received": _seconds(result.received_us),
        "handle": _handle(result.handle, handles),
        "received_after": _handle(result.received_after, handles),
        "evidence": _hex(result.evidence),
        "sequence": result.sequence,
        "policies": list(result.policies),
        "logs": _logs(result),
        "clock_rate_ppm": list(result.clock_rate_ppm) if result.clock_rate_ppm is not None else None,
        "unexpected_total": result.unexpected_total,
        "rejections": None,
        "transitions": [
            {
                "kind": each.kind.name.lower(),
                "clock_ms": each.clock_ms,
                "reset": each.reset_count,
                "restart": each.restart_count,
            }
            for each in result.transitions
        ],
    }
    if result.rejections is not None:
        rejected = result.rejections
        content["rejections"] = {"count": rejected.count, "last": rejected.last, "at": _seconds(rejected.last_us)}
    if for_auditor:
        digests = [*result.unexpected_digests, *[""] * len(result.unexpected)]
        content["unexpected"] = [list(pair) for pair in zip(result.unexpected, digests, strict=False)]
        content["claims"] = dict(result.claims)
        content["verified_claims"] = dict(result.verified_claims)
    return content


def _handle(handle: HandleId | None, handles: HandleWatch) -> dict[str, object] | None:
    if handle is None:
        return None
    seen = handles.find(handle)
    return {"id": handle.hex(), "seen": None if seen is None else seen_json(seen)}


def _change(change: Change) -> dict[str, object]:
    return {
        "at": change.at_s,
        "status": change.status,
        "freshness": change.freshness,
        "reasons": list(change.reasons),
    }


def _refusal(refusal: Refusal | None, *, for_auditor: bool) -> dict[str, object] | None:
    if refusal is None:
        return None
    return {
        "count": refusal.count,
        "at": refusal.at_s,
        "code": refusal.code,
        "detail": refusal.detail if for_auditor else "",
        "stands": refusal.is_newest,
        "raw": _token(refusal.token) if for_auditor else None,
    }


def _sample(record: tuple[float, ...]) -> list[float | None]:
    return [None if math.isnan(value) else round(value, _SAMPLE_DIGITS) for value in record]


def _token(token: bytes | None) -> str | None:
    return None if token is None else base64.b64encode(token).decode("ascii")


def _seconds(time_us: int | None) -> float | None:
    return None if time_us is None else time_us / SECOND_US


def _hex(value: bytes | None) -> str:
    return "" if value is None else value.hex()


VIEWS: Final = tuple(view.value for view in View)
