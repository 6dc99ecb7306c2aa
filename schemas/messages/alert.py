"""Alerts: the messages of a relying party's alert service, on ``alerts/<ueid>`` and ``alerts/fleet``.

An alert is not signed: anyone who may write to the topic can have made it. An alert about one attester carries the
signed attestation result that caused it; the receiver verifies that token. Every delivery of an alert has the same id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_map, as_text, as_uint
from schemas.errors import PeerError
from schemas.identifiers import Ueid, parse_ueid
from schemas.limits import MAX_MESSAGE_BYTES
from schemas.reasons import Reason

MAX_TOKEN_BYTES: Final = 128 * 1024  # a larger result is left out of its alert; it is retained on its own topic
MAX_NAMED: Final = 20  # attesters that a summary names
MAX_REASONS: Final = 32
_MAX_WORDS: Final = 1024
_MAX_NAME: Final = 64
_ID, _KIND, _MADE, _SUMMARY, _NEXT_STEP = 1, 2, 3, 4, 5
_UEID, _CONDITION, _BEFORE, _REASONS, _COUNT, _ATTESTERS, _VERIFIER, _RULE, _TOKEN = 6, 7, 8, 9, 10, 11, 12, 13, 14
_REQUIRED: Final = (_ID, _KIND, _MADE, _SUMMARY, _NEXT_STEP)
_OPTIONAL: Final = (_UEID, _CONDITION, _BEFORE, _REASONS, _COUNT, _ATTESTERS, _VERIFIER, _RULE, _TOKEN)


class AlertKind(StrEnum):
    """What an alert is about.

    verdict: an attester's verdict became worse, or has other reasons. recovered: the attester is affirmed again. storm,
    storm-over: one alert about many attesters, and its end. verifier-silent, verifier-back: a verifier stopped sending
    signed messages, and sends again. broker-lost, broker-back: the connection. results-unverified: messages on the
    results topic that no trusted verifier signed. test: an operator asked for it.
    """

    VERDICT = "verdict"
    RECOVERED = "recovered"
    STORM = "storm"
    STORM_OVER = "storm-over"
    VERIFIER_SILENT = "verifier-silent"
    VERIFIER_BACK = "verifier-back"
    BROKER_LOST = "broker-lost"
    BROKER_BACK = "broker-back"
    RESULTS_UNVERIFIED = "results-unverified"
    TEST = "test"


class Condition(StrEnum):
    """The condition of an attester: the worse of its status and its freshness."""

    AFFIRMING = "affirming"
    WARNING = "warning"
    UNDECIDED = "undecided"
    STALE = "stale"
    CONTRADICTED = "contradicted"
    CONTRAINDICATED = "contraindicated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert.

    Attributes:
        id: of this alert, the same at every delivery; 1 to 64 of ``0-9 a-f``.
        kind: of alert.
        made_s: when the alert service made it, UTC seconds.
        summary: a sentence that states what happened.
        next_step: a sentence that states what to do.
        ueid: the attester; None if the alert is not about one attester.
        condition: the condition now; None if the alert is not about a verdict.
        before: the condition that was reported last.
        reasons: reason codes of the result, the deciding ones first.
        count: the number of attesters or messages.
        attesters: some of the attesters, at most :data:`MAX_NAMED`.
        verifier: the name of the silent verifier, or of the verifier that signed the result.
        rule: the name of the alert rule.
        token: the signed attestation result, JWT or CWT. The receiver verifies it.
    """

    id: str
    kind: AlertKind
    made_s: int
    summary: str
    next_step: str
    ueid: Ueid | None = None
    condition: Condition | None = None
    before: Condition | None = None
    reasons: Sequence[str] = ()
    count: int | None = None
    attesters: Sequence[Ueid] = ()
    verifier: str | None = None
    rule: str | None = None
    token: bytes | None = None


def encode_alert(alert: Alert) -> bytes:
    """The value of the CMW record."""
    items: dict[int, object] = {
        _ID: alert.id,
        _KIND: alert.kind.value,
        _MADE: alert.made_s,
        _SUMMARY: alert.summary,
        _NEXT_STEP: alert.next_step,
    }
    optional: dict[int, object] = {
        _UEID: alert.ueid,
        _CONDITION: alert.condition.value if alert.condition is not None else None,
        _BEFORE: alert.before.value if alert.before is not None else None,
        _REASONS: list(alert.reasons) or None,
        _COUNT: alert.count,
        _ATTESTERS: list(alert.attesters) or None,
        _VERIFIER: alert.verifier,
        _RULE: alert.rule,
        _TOKEN: alert.token,
    }
    return cbor.encode(items | {key: value for key, value in optional.items() if value is not None})


def parse_unverified_alert(raw: bytes) -> Alert:
    """Parses an alert. Anyone on the broker can have written it; only the token in it can be verified.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    decoded = cbor.decode(raw, "alert", max_bytes=MAX_MESSAGE_BYTES)
    items = as_map(decoded, "alert", required=_REQUIRED, optional=_OPTIONAL)
    try:
        kind = AlertKind(as_text(items[_KIND], "alert kind", limit=_MAX_NAME))
        condition, before = _condition(items, _CONDITION), _condition(items, _BEFORE)
    except ValueError as error:
        raise PeerError(Reason.MALFORMED, f"alert: {error}") from error
    return Alert(
        id=_id(items[_ID]),
        kind=kind,
        made_s=as_uint(items[_MADE], "alert time"),
        summary=as_text(items[_SUMMARY], "alert summary", limit=_MAX_WORDS),
        next_step=as_text(items[_NEXT_STEP], "alert next step", limit=_MAX_WORDS),
        ueid=parse_ueid(as_bytes(items[_UEID], "alert attester")) if _UEID in items else None,
        condition=condition,
        before=before,
        reasons=tuple(as_text(each, "alert reason", limit=_MAX_NAME) for each in _some(items, _REASONS, MAX_REASONS)),
        count=as_uint(items[_COUNT], "alert count") if _COUNT in items else None,
        attesters=tuple(parse_ueid(as_bytes(each, "attester")) for each in _some(items, _ATTESTERS, MAX_NAMED)),
        verifier=as_text(items[_VERIFIER], "alert verifier", limit=_MAX_WORDS) if _VERIFIER in items else None,
        rule=as_text(items[_RULE], "alert rule", limit=_MAX_NAME) if _RULE in items else None,
        token=as_bytes(items[_TOKEN], "alert token", limit=MAX_TOKEN_BYTES) if _TOKEN in items else None,
    )


def _id(value: object) -> str:
    text = as_text(value, "alert id", limit=_MAX_NAME)
    if not text or set(text) - set("0123456789abcdef"):
        raise PeerError(Reason.MALFORMED, "alert id: expected hexadecimal")
    return text


def _condition(items: Mapping[object, object], key: int) -> Condition | None:
    return Condition(as_text(items[key], "alert condition", limit=_MAX_NAME)) if key in items else None


def _some(items: Mapping[object, object], key: int, limit: int) -> Sequence[object]:
    """The array under ``key``. An empty array is refused: the key is left out instead."""
    if key not in items:
        return ()
    array = as_array(items[key], "alert", limit=limit)
    if not array:
        raise PeerError(Reason.MALFORMED, "alert: an empty array")
    return array
