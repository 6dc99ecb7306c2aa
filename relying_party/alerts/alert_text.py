"""Writes alerts: their sentences, the body of a webhook, the JSON for Alertmanager. Pure.

Names and paths come from attesters: they are escaped, shortened, and marked as the attester's own words. No label for
Alertmanager contains one: labels decide which alerts are the same alert, and no attester may influence that.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from relying_party.alerts.rules import Change
from relying_party.alerts.silence import Notice
from relying_party.alerts.storms import StormNotice
from schemas.codecs.printable import printable
from schemas.identifiers import b64url, ueid_text
from schemas.instants import SECOND_US, iso_text
from schemas.messages.alert import MAX_REASONS, MAX_TOKEN_BYTES, Alert, AlertKind, Condition
from schemas.messages.result_token import ResultFormat, format_of
from schemas.text.reasons import explain

MAX_BODY_BYTES: Final = 256 * 1024
_WORD: Final = 80  # characters of a name or path that an attester chose
_SENTENCE: Final = 1000
_CRITICAL: Final = frozenset({Condition.CONTRAINDICATED, Condition.CONTRADICTED})
_CRITICAL_KINDS: Final = frozenset({AlertKind.BROKER_LOST, AlertKind.VERIFIER_SILENT})
_TEXTS: Final[Mapping[Condition, str]] = {
    Condition.AFFIRMING: "affirming again",
    Condition.WARNING: "affirmed with a warning",
    Condition.UNDECIDED: "undecided",
    Condition.STALE: "stale: there is no recent result about it",
    Condition.CONTRADICTED: "contradicting itself about time",
    Condition.CONTRAINDICATED: "contraindicated",
}


def alert_id(installation: bytes, serial: int) -> str:
    """The id of an alert: the same at every delivery, and unique across installations.

    Args:
        installation: random bytes of this alert service's database.
        serial: number of the alert in this database.
    """
    return hashlib.sha256(b"attestream alert" + installation + serial.to_bytes(8, "big")).hexdigest()[:32]


def alert_of_change(change: Change, identity: str, made_s: int, token: bytes | None) -> Alert:
    """The alert about one attester.

    Args:
        change: to report.
        identity: of :func:`alert_id`.
        made_s: UTC seconds.
        token: the signed result behind it; left out of the alert if it is too large.
    """
    result, now = change.standing.result, change.reported.headline
    name = ueid_text(result.ueid)
    claimed = result.claims.get("label")
    called = f" (its own label: {plain(claimed)!r})" if isinstance(claimed, str) else ""
    changed = change.before.condition is not now.condition
    was = f"; it was {change.before.condition}" if changed else ", now for other reasons"
    shown = change.standing.reasons[:1] if change.is_recovery else change.standing.reasons
    first = explain(shown[0]) if shown else None
    if change.is_recovery:
        summary = f"{name}{called} is {_TEXTS[_current_condition(change)]}; it was {change.before.condition}."
        step = "Nothing."
    else:
        why = f" {_capital(first.meaning)} ({plain(shown[0])}{_about(change)})." if first is not None else ""
        summary = f"{name}{called} is {_TEXTS[now.condition]}{was}.{why}"
        step = f"{_capital(first.next_step)}." if first is not None else "Look at the result."
    return Alert(
        id=identity,
        kind=AlertKind.RECOVERED if change.is_recovery else AlertKind.VERDICT,
        made_s=made_s,
        summary=summary[:_SENTENCE],
        next_step=step,
        ueid=result.ueid,
        condition=_current_condition(change),
        before=change.before.condition,
        reasons=tuple(plain(code)[:64] for code in change.standing.reasons[:MAX_REASONS]),
        verifier=plain(result.verifier),
        rule=change.rule.name,
        token=token if token is not None and len(token) <= MAX_TOKEN_BYTES else None,
    )


def alert_of_storm(notice: StormNotice, identity: str, made_s: int) -> Alert:
    """The alert about many attesters."""
    count, condition = notice.count, notice.condition
    if notice.closes:
        rest = f"{count} of its attesters are still {condition}." if count else "All of its attesters have recovered."
        step = "Look at the attesters that remain." if count else "Nothing."
        summary = f"The storm of {condition} attesters is over. {rest}"
    elif condition is Condition.AFFIRMING:
        summary, step = f"{count} attesters have recovered.", "Nothing."
    else:
        summary = f"{count} attesters have become {condition} at about the same time."
        step = (
            "Look for a common cause: a new policy, new reference values, or an update of many devices."
            if condition in _CRITICAL
            else "Look for a common cause: the handle distributor, the Time Stamp Authority, the verifier, the network."
        )
        step += " `relying-party results --once --json` lists all attesters."
    return Alert(
        id=identity,
        kind=AlertKind.STORM_OVER if notice.closes else AlertKind.STORM,
        made_s=made_s,
        summary=summary,
        next_step=step,
        condition=condition,
        count=count,
        attesters=notice.named,
    )


def alert_of_notice(notice: Notice, identity: str, made_s: int) -> Alert:
    """The alert about the broker, a verifier or refused messages."""
    return Alert(
        id=identity,
        kind=notice.kind,
        made_s=made_s,
        summary=plain(notice.summary, _SENTENCE),
        next_step=notice.next_step,
        count=notice.count,
        verifier=None if notice.verifier is None else plain(notice.verifier),
    )


def webhook_body(alert: Alert) -> bytes:
    """The body of a webhook: ``type``, ``timestamp``, ``data``; the same bytes at every delivery."""
    data: dict[str, object] = {
        "id": alert.id,
        "kind": alert.kind,
        "summary": alert.summary,
        "next_step": alert.next_step,
        "severity": severity_of(alert),
        "ueid": None if alert.ueid is None else ueid_text(alert.ueid),
        "condition": alert.condition,
        "before": alert.before,
        "reasons": [{"code": code, "meaning": explain(code).meaning} for code in alert.reasons],
        "count": alert.count,
        "attesters": [ueid_text(each) for each in alert.attesters],
        "verifier": alert.verifier,
        "rule": alert.rule,
        "result": _token_text(alert.token),
        "result_form": None if alert.token is None else format_of(alert.token),
    }
    body = {"type": f"attestream.{alert.kind}", "timestamp": time_text(alert.made_s), "data": data}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=True).encode()


def alertmanager_labels(alert: Alert) -> dict[str, str]:
    """The labels by which Alertmanager identifies an alert; an attester can choose none of them."""
    labels = {"alertname": _alert_name(alert), "severity": severity_of(alert), "service": "attestream"}
    optional = {
        "ueid": None if alert.ueid is None else ueid_text(alert.ueid),
        "condition": alert.condition,
        "verifier": alert.verifier,
        "rule": alert.rule,
    }
    return labels | {name: str(value) for name, value in optional.items() if value is not None}


def alertmanager_alert(alert: Alert, starts_s: int, ends_s: int) -> dict[str, object]:
    """An alert as Alertmanager's ``/api/v2/alerts`` takes it.

    Args:
        alert: to send.
        starts_s: since when it has been open, UTC seconds.
        ends_s: when it ends; in the past for a closed alert.
    """
    annotations = {
        "summary": alert.summary,
        "description": alert.next_step,
        "reasons": ", ".join(alert.reasons),
        "attesters": ", ".join(map(ueid_text, alert.attesters)),
        "alert_id": alert.id,
    }
    return {
        "labels": alertmanager_labels(alert),
        "annotations": {name: text for name, text in annotations.items() if text},
        "startsAt": time_text(starts_s),
        "endsAt": time_text(ends_s),
    }


def severity_of(alert: Alert) -> str:
    """``critical``, ``warning`` or ``info``."""
    if alert.kind in _CRITICAL_KINDS:
        return "critical"
    if alert.kind in {AlertKind.RECOVERED, AlertKind.STORM_OVER, AlertKind.VERIFIER_BACK, AlertKind.BROKER_BACK}:
        return "info"
    if alert.kind is AlertKind.TEST or alert.condition is Condition.AFFIRMING:
        return "info"
    return "critical" if alert.condition in _CRITICAL else "warning"


def time_text(seconds: int) -> str:
    """RFC 3339, UTC."""
    return iso_text(seconds * SECOND_US, "seconds")


def plain(text: object, limit: int = _WORD) -> str:
    """Text from outside, escaped and shortened: it cannot move a cursor or break a line."""
    escaped = printable(str(text)[: 2 * limit])
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"


def _current_condition(change: Change) -> Condition:
    """The condition to name: a recovery can be to a warning, if the rule does not alert on warnings."""
    if change.is_recovery and change.standing.status == "warning":
        return Condition.WARNING
    return change.reported.headline.condition


def _about(change: Change) -> str:
    unexpected: Sequence[str] = change.standing.result.unexpected
    if not unexpected:
        return ""
    more = max(change.standing.result.unexpected_total, len(unexpected)) - 1
    return f": {plain(unexpected[0])}" + (f" and {more} more" if more else "")


def _alert_name(alert: Alert) -> str:
    kinds = {
        AlertKind.STORM: "AttestreamStorm",
        AlertKind.STORM_OVER: "AttestreamStorm",
        AlertKind.VERIFIER_SILENT: "AttestreamVerifierSilent",
        AlertKind.BROKER_LOST: "AttestreamBrokerLost",
        AlertKind.RESULTS_UNVERIFIED: "AttestreamResultsUnverified",
        AlertKind.TEST: "AttestreamTest",
    }
    return kinds.get(alert.kind, "AttestreamVerdict")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _token_text(token: bytes | None) -> str | None:
    if token is None:
        return None
    return token.decode("ascii", "replace") if format_of(token) is ResultFormat.JWT else b64url(token)
