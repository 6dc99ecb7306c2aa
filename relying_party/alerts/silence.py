"""What is silent, and what is no result: the broker, a verifier, messages that nobody here believes. Pure.

A verifier is heard by what it signs: only a result that is newer than all before counts, so replays do not keep a dead
verifier alive. Its status on the broker is unsigned; that it is "gone" shortens the wait, but only where nothing newly
signed comes, and that it is "there" counts for nothing.

Each mutable thing has one owner: a :class:`Silence` belongs to the thread that calls it. Verifiers are known by
verified results and by settings alone, so strangers cannot make it grow.
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
        broker_s: tell that the broker is lost after so long without it.
        verifier_s: tell that a verifier is silent when so long nothing newly signed has come from it; longer than the
            slowest policy's deadline.
        gone_s: the same where the broker says that the verifier is gone.
        unverified_every_s: tell of results that nobody here believes at most so often.
        settle_s: after a connection, results may have expired while nobody listened: wait so long for newer ones.
        verifiers: names that are expected though they were never heard.
    """

    broker_s: float = 60.0
    verifier_s: float = 900.0
    gone_s: float = 60.0
    unverified_every_s: float = 900.0
    settle_s: float = 10.0
    verifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to tell of the fleet.

    Attributes:
        key: under which it stands until it is taken back.
        kind: of the alert.
        summary, next_step: sentences.
        over: it takes back what stands under ``key``.
        count: of messages.
        verifier: the verifier it is about.
    """

    key: str
    kind: AlertKind
    summary: str
    next_step: str
    over: bool = False
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
    said: int = 0
    said_s: float | None = None
    why: str = ""
    kinds: set[str] = field(default_factory=set)


class Silence:
    """Says each silence once, and its end."""

    def __init__(self, settings: SilenceSettings, standing: Iterable[str], now_s: float) -> None:
        """Starts disconnected, with everything just heard.

        Args:
            settings: how long is too long.
            standing: keys of what was said before a restart and not taken back.
            now_s: monotonic seconds.
        """
        self._settings = settings
        self._said = set(standing)
        self._verifiers = {name: _Verifier(heard_s=now_s) for name in settings.verifiers}
        for key in self._said:
            if key.startswith("verifier/") and key != "verifier/":
                self._verifiers.setdefault(key.removeprefix("verifier/"), _Verifier(heard_s=now_s))
        self._down_since_s: float | None = now_s
        self._up_since_s = now_s
        self._refused = _Refused()
        self._anything = _Verifier(heard_s=now_s)

    def connected(self, now_s: float, *, connected: bool) -> None:
        """Notes whether results can be heard, monotonic seconds; results are not expected before they can be."""
        if connected and self._down_since_s is not None:
            self._down_since_s, self._up_since_s = None, now_s
            for each in (*self._verifiers.values(), self._anything):
                each.heard_s = max(each.heard_s, now_s)
        elif not connected and self._down_since_s is None:
            self._down_since_s = now_s

    def is_settled(self, now_s: float) -> bool:
        """Whether an expired result says something about its attester, and not only about our connection."""
        return self._down_since_s is None and now_s - self._up_since_s >= self._settings.settle_s

    def heard(self, verifier: str, issued_s: int, now_s: float) -> None:
        """Notes a verified result: who signed it, when it was issued by that one's clock, when it came."""
        known = self._verifiers.setdefault(verifier, _Verifier(heard_s=now_s))
        if issued_s > known.issued_s:
            known.issued_s, known.heard_s, known.gone_since_s = issued_s, now_s, None
            self._anything.heard_s, self._anything.issued_s = now_s, issued_s

    def status(self, verifier: str, now_s: float, *, online: bool) -> None:
        """Notes an unsigned status; of a verifier that nobody has heard it is nothing."""
        known = self._verifiers.get(verifier)
        if known is not None:
            known.gone_since_s = None if online else known.gone_since_s or now_s

    def refused(self, code: str, why: str) -> None:
        """Notes a message that is no result of a trusted verifier: its reason code, and words for people."""
        self._refused.count += 1
        self._refused.why = why
        self._refused.kinds.add(code)

    def notices(self, now_s: float) -> Iterator[Notice]:
        """What to tell now; :meth:`said` those that were stored. Monotonic seconds."""
        yield from self._broker(now_s)
        if self._down_since_s is None:  # else nothing can be heard from anybody
            for name, known in self._verifiers.items():
                yield from self._verifier(name, known, now_s)
            if not self._verifiers or f"verifier/{ANY_VERIFIER}" in self._said:
                yield from self._verifier(ANY_VERIFIER, self._anything, now_s)
        yield from self._unverified(now_s)

    def said(self, notice: Notice, now_s: float) -> None:
        """Notes that a notice is stored to be told."""
        if notice.over:
            self._said.discard(notice.key)
        else:
            self._said.add(notice.key)
        if notice.kind is AlertKind.RESULTS_UNVERIFIED and not notice.over:
            refused = self._refused
            refused.said, refused.said_s, refused.kinds = refused.count, now_s, set()

    def _broker(self, now_s: float) -> Iterator[Notice]:
        if self._down_since_s is None and BROKER in self._said:
            yield Notice(
                key=BROKER, kind=AlertKind.BROKER_BACK, over=True, summary="The broker is back.", next_step="Nothing."
            )
        if self._down_since_s is not None and BROKER not in self._said:
            if now_s - self._down_since_s < self._settings.broker_s:
                return
            yield Notice(
                key=BROKER,
                kind=AlertKind.BROKER_LOST,
                summary="The broker is not reached, or does not let us hear results: nothing is known of any attester.",
                next_step="See whether the broker runs, the network is up, and the alert service may read results.",
            )

    def _verifier(self, name: str, known: _Verifier, now_s: float) -> Iterator[Notice]:
        key, silent_s = f"verifier/{name}", now_s - known.heard_s
        who = f"Verifier {name!r}" if name else "Every verifier"
        if key in self._said:
            if known.issued_s and silent_s < self._settings.gone_s and known.gone_since_s is None:
                yield Notice(
                    key=key,
                    kind=AlertKind.VERIFIER_BACK,
                    over=True,
                    summary=f"{who} signs results again.",
                    next_step="Nothing.",
                    verifier=name,
                )
            return
        gone = known.gone_since_s is not None and now_s - known.gone_since_s >= self._settings.gone_s
        if silent_s >= self._settings.verifier_s or (gone and silent_s >= self._settings.gone_s):
            told = "; the broker says that it is gone" if gone else ""
            yield Notice(
                key=key,
                kind=AlertKind.VERIFIER_SILENT,
                summary=f"{who} has signed nothing new for {silent_s:.0f} s{told}: its results will expire.",
                next_step="See whether the verifier runs, reaches the broker, and gets evidence and handles.",
                verifier=name or None,
            )

    def _unverified(self, now_s: float) -> Iterator[Notice]:
        refused = self._refused
        waited = refused.said_s is None or now_s - refused.said_s >= self._settings.unverified_every_s
        if refused.count > refused.said and waited:
            new = refused.count - refused.said
            kinds = ", ".join(f"{explain(code).meaning} ({code})" for code in sorted(refused.kinds)[:4])
            yield Notice(
                key=UNVERIFIED,
                kind=AlertKind.RESULTS_UNVERIFIED,
                summary=f"{new} {'message' if new == 1 else 'messages'} on the results topic refused: {kinds}. "
                f"The last: {refused.why}. No verdict changed by it.",
                next_step="See who may write to the results topic, or whether a verifier's new key is missing here.",
                count=new,
            )
        elif waited and UNVERIFIED in self._said:
            yield Notice(key=UNVERIFIED, kind=AlertKind.RESULTS_UNVERIFIED, over=True, summary="", next_step="")
