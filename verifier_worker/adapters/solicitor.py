"""Asks attesters for full pushes; less and less often while they do not help.

Nothing is stored: a lost solicit is sent again.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from prometheus_client import Counter

from runtime.clock import monotonic_s, utc_us
from runtime.ports import Publisher
from runtime.telemetry import Logger
from schemas import media_types
from schemas.codecs import cmw
from schemas.identifiers import Ueid, ueid_text
from schemas.messages.result_token import ResultFormat
from schemas.messages.solicit import Solicit, sign_solicit
from schemas.topics import Topics
from verifier_worker.core.step import SolicitRequest

MAX_SOLICIT_INTERVALS: Final = 64  # the longest pause, for an attester that is permanently wrong
SOLICITS_TOTAL: Final = Counter("attestream_solicits_total", "Solicits sent, by reason", ["reason"])
_LOG: Final = Logger("verifier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The verifier's name, key and topics."""

    name: str
    key: EllipticCurvePrivateKey
    topics: Topics
    result_format: ResultFormat = ResultFormat.JWT


@dataclass(slots=True, kw_only=True)
class _Asked:
    """The last solicit to one attester: when the next may follow, and whether it was answered."""

    pause_s: float
    again_s: float
    answered: bool = False


class Solicitor:
    """Owned by the worker's thread."""

    def __init__(self, identity: Identity, publisher: Publisher, *, interval_s: float, limit: int) -> None:
        """Has asked no attester yet.

        Args:
            identity: name, key and topics.
            publisher: sends to attesters.
            interval_s: least time between two solicits to one attester; doubles with each that was not answered.
            limit: attesters remembered.
        """
        self._identity, self._publisher = identity, publisher
        self._interval_s, self._limit = interval_s, limit
        self._asked: OrderedDict[Ueid, _Asked] = OrderedDict()
        self._last_us = 0

    def answered(self, ueid: Ueid) -> None:
        """Notes that the attester's logs are complete: the next solicit may follow after the shortest pause."""
        if ueid in self._asked:
            self._asked[ueid].answered = True

    def ask(self, ueid: Ueid, request: SolicitRequest) -> None:
        """Asks the attester, unless its pause has not passed yet."""
        now_s, before = monotonic_s(), self._asked.get(ueid)
        if before is not None and now_s < before.again_s:
            return
        pause_s = self._interval_s
        if before is not None and not before.answered:
            pause_s = min(2 * before.pause_s, MAX_SOLICIT_INTERVALS * self._interval_s)
        self._asked[ueid] = _Asked(pause_s=pause_s, again_s=now_s + pause_s)
        self._asked.move_to_end(ueid)
        while len(self._asked) > self._limit:
            self._asked.popitem(last=False)
        self._last_us = max(self._last_us + 1, utc_us())
        solicit = Solicit(
            ueid=ueid,
            verifier=self._identity.name,
            issued_us=self._last_us,
            reason=request.reason,
            full=True,
            logs=request.logs,
        )
        payload = cmw.wrap(media_types.SOLICIT, sign_solicit(solicit, self._identity.key), None)
        self._publisher.publish(self._identity.topics.solicit(ueid), payload)
        SOLICITS_TOTAL.labels(request.reason).inc()
        _LOG.info("solicited", ueid=ueid_text(ueid), reason=request.reason, logs=dict(request.logs))
