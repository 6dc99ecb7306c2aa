"""Notices a lost broker, a silent verifier, and results that do not verify. Pure.

A verifier shows that it is alive only by signing a result that is newer than all its earlier ones, so replays do not
keep a dead verifier alive. Its status on the broker is unsigned: "offline" shortens the wait when no newly signed
result arrives; "online" is ignored.

Owned by the thread that calls it. Verifiers are known only from verified results and from the settings, so a stranger
cannot fill the memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from schemas.messages.alert import AlertKind
from schemas.text.reasons import explain

BROKER: Final = "broker"
UNVERIFIED: Final = "results-unverified"
ANY_VERIFIER: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceSettings:
    """Table ``[silence]``.

    Attributes:
        broker_s: report the broker as lost after this long without it.
        verifier_s: report a verifier as silent after this long without a newly signed result; longer than the deadline
            of the slowest policy.
        gone_s: the same, if the verifier's last will says that it is offline.
        unverified_every_s: report results that do not verify at most this often.
        settle_s: after connecting, wait this long for newer results before an expired one leads to a report.
        verifiers: names of verifiers that are expected, even if no result has ever come from them.
    """

    broker_s: float = 60.0
    verifier_s: float = 900.0
    gone_s: float = 60.0
    unverified_every_s: float = 900.0
    settle_s: float = 10.0
    verifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A report about the broker, a verifier or messages; about no single attester.

    Attributes:
        key: of its open alert.
        kind: of the alert.
        summary, next_step: sentences.
        closes: it closes the open alert.
        count: of messages.
        verifier: the verifier it is about.
    """

    key: str
    kind: AlertKind
    summary: str
    next_step: str
    closes: bool = False
    count: int | None = None
    verifier: str | None = None


@dataclass(slots=True, kw_only=True)
class _Verifier:
    heard_s: float
    issued_s: int = 0
    gone_since_s: float | None = None


@dataclass(slots=True)
class _Refused:
    count: int = 0
    reported: int = 0
    reported_s: float | None = None
    why: str = ""
    kinds: set[str] = field(default_factory=set)


class Silence:
    """Reports each silence once, and its end once."""

    def __init__(self, settings: SilenceSettings, open_keys: Iterable[str], now_s: float) -> None:
        """Starts disconnected, as if every verifier had just signed a result.

        Args:
            settings: the time limits.
            open_keys: keys of the alerts that were open before a restart.
            now_s: monotonic seconds.
        """
        self._settings = settings
        self._open = set(open_keys)
        self._verifiers = {name: _Verifier(heard_s=now_s) for name in settings.verifiers}
        for key in self._open:
            if key.startswith("verifier/") and key != "verifier/":
                self._verifiers.setdefault(key.removeprefix("verifier/"), _Verifier(heard_s=now_s))
        self._down_since_s: float | None = now_s
        self._up_since_s = now_s
        self._refused = _Refused()
        self._anything = _Verifier(heard_s=now_s)

    def connected(self, now_s: float, *, connected: bool) -> None:
        """Notes whether results can arrive now, monotonic seconds; verifiers are not silent while they cannot."""
        if connected and self._down_since_s is not None:
            self._down_since_s, self._up_since_s = None, now_s
            for each in (*self._verifiers.values(), self._anything):
                each.heard_s = max(each.heard_s, now_s)
        elif not connected and self._down_since_s is None:
            self._down_since_s = now_s

    def is_settled(self, now_s: float) -> bool:
        """Whether an expired result tells about its attester; until then the cause may be our own connection."""
        return self._down_since_s is None and now_s - self._up_since_s >= self._settings.settle_s

    def heard(self, verifier: str, issued_s: int, now_s: float) -> None:
        """Notes a verified result: its verifier, its time of issue by the verifier's clock, and when it arrived."""
        known = self._verifiers.setdefault(verifier, _Verifier(heard_s=now_s))
        if issued_s > known.issued_s:
            known.issued_s, known.heard_s, known.gone_since_s = issued_s, now_s, None
            self._anything.heard_s, self._anything.issued_s = now_s, issued_s

    def status(self, verifier: str, now_s: float, *, online: bool) -> None:
        """Notes an unsigned status; ignores it for a verifier that never signed a result."""
        known = self._verifiers.get(verifier)
        if known is not None:
            known.gone_since_s = None if online else known.gone_since_s or now_s

    def refused(self, code: str, why: str) -> None:
        """Notes a message that is not a result of a trusted verifier: its reason code, and words for people."""
        self._refused.count += 1
        self._refused.why = why
        self._refused.kinds.add(code)

    def notices(self, now_s: float) -> Iterator[Notice]:
        """The reports that are due; the caller passes each to :meth:`mark_reported` once it is stored."""
        yield from self._broker(now_s)
        if self._down_since_s is None:  # without the broker no verifier can be heard
            for name, known in self._verifiers.items():
                yield from self._verifier(name, known, now_s)
            if not self._verifiers or f"verifier/{ANY_VERIFIER}" in self._open:
                yield from self._verifier(ANY_VERIFIER, self._anything, now_s)
        yield from self._unverified(now_s)

    def mark_reported(self, notice: Notice, now_s: float) -> None:
        """Notes that a report is stored."""
        if notice.closes:
            self._open.discard(notice.key)
        else:
            self._open.add(notice.key)
        if notice.kind is AlertKind.RESULTS_UNVERIFIED and not notice.closes:
            refused = self._refused
            refused.reported, refused.reported_s, refused.kinds = refused.count, now_s, set()

    def _broker(self, now_s: float) -> Iterator[Notice]:
        if self._down_since_s is None and BROKER in self._open:
            yield Notice(
                key=BROKER, kind=AlertKind.BROKER_BACK, closes=True, summary="The broker is back.", next_step="Nothing."
            )
        if self._down_since_s is not None and BROKER not in self._open:
            if now_s - self._down_since_s < self._settings.broker_s:
                return
            yield Notice(
                key=BROKER,
                kind=AlertKind.BROKER_LOST,
                summary="The broker cannot be reached, or does not allow us to subscribe: no result arrives.",
                next_step="Check that the broker runs, the network is up, and the alert service may read results.",
            )

    def _verifier(self, name: str, known: _Verifier, now_s: float) -> Iterator[Notice]:
        key, silent_s = f"verifier/{name}", now_s - known.heard_s
        who = f"Verifier {name!r}" if name else "Every verifier"
        if key in self._open:
            if known.issued_s and silent_s < self._settings.gone_s and known.gone_since_s is None:
                yield Notice(
                    key=key,
                    kind=AlertKind.VERIFIER_BACK,
                    closes=True,
                    summary=f"{who} signs results again.",
                    next_step="Nothing.",
                    verifier=name,
                )
            return
        gone = known.gone_since_s is not None and now_s - known.gone_since_s >= self._settings.gone_s
        if silent_s >= self._settings.verifier_s or (gone and silent_s >= self._settings.gone_s):
            offline = "; the broker reports it as offline" if gone else ""
            yield Notice(
                key=key,
                kind=AlertKind.VERIFIER_SILENT,
                summary=f"{who} has signed nothing new for {silent_s:.0f} s{offline}: its results will expire.",
                next_step="Check that the verifier runs, reaches the broker, and receives evidence and handles.",
                verifier=name or None,
            )

    def _unverified(self, now_s: float) -> Iterator[Notice]:
        refused = self._refused
        waited = refused.reported_s is None or now_s - refused.reported_s >= self._settings.unverified_every_s
        if refused.count > refused.reported and waited:
            new = refused.count - refused.reported
            kinds = ", ".join(f"{explain(code).meaning} ({code})" for code in sorted(refused.kinds)[:4])
            yield Notice(
                key=UNVERIFIED,
                kind=AlertKind.RESULTS_UNVERIFIED,
                summary=f"{new} {'message' if new == 1 else 'messages'} on the results topic refused: {kinds}. "
                f"The last one: {refused.why}. No verdict changed.",
                next_step="Check who may write to the results topic, and whether a verifier's key is missing here.",
                count=new,
            )
        elif waited and UNVERIFIED in self._open:
            yield Notice(key=UNVERIFIED, kind=AlertKind.RESULTS_UNVERIFIED, closes=True, summary="", next_step="")
