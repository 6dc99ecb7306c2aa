"""The epoch bell: one round makes one handle (invariant I27). Owns the end of the chain.

A round tries the TSAs in the operator's order until one succeeds: it has the epoch bell's imprint stamped (the
marker), signs the claims, has the signature stamped, attaches the token, verifies the handle as attesters do, stores
it and publishes it. It stores before it publishes, so ``previous`` always names the last handle that may have left this
process. After a crash between the two steps the stored handle is published again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from prometheus_client import Counter, Gauge

from handle_distributor.handle_rules import Observation, check_agreement, check_clock, choose_claims
from handle_distributor.ports import Clock, HandlePublisher, HandleStore
from runtime.ports import TimeStampAuthority
from runtime.telemetry import Logger
from schemas.codecs import cose
from schemas.codecs.tst_info import Stamp, extract_tst_info
from schemas.errors import PeerError, WorldError
from schemas.identifiers import HandleId
from schemas.instants import SECOND_US
from schemas.messages.handle import (
    EPOCH_BELL_IMPRINT,
    NONCE_BYTES,
    Handle,
    StampVerifier,
    attach_stamp,
    handle_id,
    sign_claims,
    verify_handle,
)

_LOG: Final = Logger("handle_distributor")
_ISSUED: Final = Counter("attestream_handles_issued_total", "Handles made, stored and given to the broker connection")
_FAILURES: Final = Counter(
    "attestream_handle_failures_total", "Attempts at a handle that failed, by reason and TSA", ["reason", "tsa"]
)
_OFFSET: Final = Gauge(
    "attestream_tsa_clock_offset_seconds",
    "A TSA's time less this machine's at the last exchange; beyond max_clock_offset_s its time is refused",
    ["tsa"],
)
_ALARM: Final = Gauge("attestream_handle_alarm", "1 while the last round over all TSAs made no handle")
_TSA_NONCE_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BellRules:
    """The operator's settings for handles.

    Attributes:
        issuer: the distributor's name.
        lifetime_s: how long a handle is accepted, counted from its epoch marker.
        max_clock_offset_us: how far a TSA's clock and this machine's may be apart.
        required_agreement: how many TSAs must agree on the time, including the one that stamps.
    """

    issuer: str
    lifetime_s: int
    max_clock_offset_us: int
    required_agreement: int


class EpochBell:
    """Makes handles. Not thread-safe: one thread calls :meth:`resume`, then :meth:`ring` for each round."""

    def __init__(
        self,
        rules: BellRules,
        *,
        key: EllipticCurvePrivateKey,
        authorities: Sequence[TimeStampAuthority],
        stamps: StampVerifier,
        store: HandleStore,
        publisher: HandlePublisher,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._key = key
        self._keys = {cose.key_id(key.public_key()): key.public_key()}
        self._authorities = tuple(authorities)
        self._stamps = stamps
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._previous: HandleId | None = None  # this and _last are owned by the thread that rings
        self._last: Handle | None = None

    @property
    def last(self) -> Handle | None:
        """The newest handle: made by this process, or found in the store and verified. None without one."""
        return self._last

    def resume(self) -> None:
        """Continues the chain from the stored handle, and publishes that handle again unless it has expired.

        Raises:
            WorldError: ``store-unavailable``.
        """
        raw = self._store.load()
        if raw is None:
            _LOG.info("chain-starts", issuer=self._rules.issuer)
            return
        self._previous = handle_id(raw)
        try:
            self._last = verify_handle(raw, self._keys, self._stamps)
        except PeerError as error:
            # The key or the TSA roots have changed: the chain continues, but nobody would accept this handle.
            _LOG.warning("last-handle-not-published-again", id=self._previous.hex(), reason=error.reason)
            return
        expired = self._last.expires_us <= self._clock.utc_us()
        _LOG.info("chain-resumes", id=self._previous.hex(), expired=expired)
        if not expired:
            self._publisher.publish(self._last)

    def ring(self) -> Handle | None:
        """Makes one handle, trying each TSA in turn.

        Returns:
            The new handle, stored and given to the publisher. None when no TSA's answer was accepted or the store
            failed: then the alarm is set, the chain is unchanged, and the caller should try again soon.
        """
        answers = _Round(self._clock)
        for authority in self._authorities:
            if authority.name in answers.failed:
                continue
            try:
                handle = self._issue(authority, answers)
            except (WorldError, PeerError) as error:
                _report(authority.name, error)
                continue
            return self._deliver(handle)
        _ALARM.set(1)
        _LOG.error("no-handle", issuer=self._rules.issuer, tried=len(self._authorities))
        return None

    def _issue(self, authority: TimeStampAuthority, answers: "_Round") -> Handle:
        rules = self._rules
        marker, observation = answers.ask(authority, EPOCH_BELL_IMPRINT)
        check_clock(observation, max_clock_offset_us=rules.max_clock_offset_us, not_before=self._last)
        self._check_agreement(authority, observation, answers)
        signed = sign_claims(
            choose_claims(
                issuer=rules.issuer,
                marker=extract_tst_info(marker.token),
                nonce=self._clock.random_bytes(NONCE_BYTES),
                previous=self._previous,
                lifetime_s=rules.lifetime_s,
            ),
            self._key,
        )
        stamp, observation = answers.ask(authority, cose.ctt_imprint(signed))
        check_clock(observation, max_clock_offset_us=rules.max_clock_offset_us, not_before=self._last)
        return verify_handle(attach_stamp(signed, stamp.token), self._keys, self._stamps)

    def _check_agreement(self, authority: TimeStampAuthority, observation: Observation, answers: "_Round") -> None:
        required = self._rules.required_agreement
        if required == 1:
            return
        witnesses: list[Observation] = []
        for other in self._authorities:
            if other.name == authority.name or other.name in answers.failed:
                continue
            try:
                witnesses.append(answers.earlier(other.name) or answers.ask(other, EPOCH_BELL_IMPRINT)[1])
            except WorldError as error:
                answers.failed.add(other.name)
                _report(other.name, error)
        check_agreement(observation, witnesses, required=required)

    def _deliver(self, handle: Handle) -> Handle | None:
        try:
            self._store.save(handle.raw)
        except WorldError as error:
            _report("", error)
            _ALARM.set(1)
            _LOG.error("no-handle", issuer=self._rules.issuer, reason=error.reason)
            return None
        self._previous, self._last = handle.id, handle
        self._publisher.publish(handle)
        _ISSUED.inc()
        _ALARM.set(0)
        _LOG.info("handle-issued", id=handle.id.hex(), time_us=handle.time_us, accuracy_us=handle.accuracy_us)
        return handle


class _Round:
    """The answers of one round. UTC is read once, then advanced by the monotonic clock: a step of UTC has no effect."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_us = clock.utc_us() - round(clock.monotonic_s() * SECOND_US)
        self._observations: dict[str, Observation] = {}
        self.failed: set[str] = set()

    def ask(self, authority: TimeStampAuthority, imprint: bytes) -> tuple[Stamp, Observation]:
        """Asks for one stamp with a fresh nonce; returns it, and when it was asked for and received."""
        nonce = int.from_bytes(self._clock.random_bytes(_TSA_NONCE_BYTES), "big")
        sent_us = self._now_us()
        stamp = authority.stamp(imprint, nonce)
        received_us = self._now_us()
        _OFFSET.labels(authority.name).set((stamp.info.gen_time_us - (sent_us + received_us) / 2) / SECOND_US)
        observation = Observation(tsa=authority.name, stamp=stamp.info, sent_us=sent_us, received_us=received_us)
        self._observations[authority.name] = observation
        return stamp, observation

    def earlier(self, name: str) -> Observation | None:
        """This TSA's last answer in this round, if there was one."""
        return self._observations.get(name)

    def _now_us(self) -> int:
        return self._started_us + round(self._clock.monotonic_s() * SECOND_US)


def _report(tsa: str, error: WorldError | PeerError) -> None:
    _FAILURES.labels(error.reason, tsa).inc()
    _LOG.warning("handle-attempt-failed", tsa=tsa, reason=error.reason, detail=error.detail)
