"""Observes the handle distributors: their handles, how the handles follow one another, and their delays. Pure.

With the distributors' keys and the TSAs' roots, a handle is shown as verified; one that does not verify is refused and
counted. Without them no handle is verified, and each is shown as not verified: its times may be a stranger's.

Bounded memory: :data:`MAX_DISTRIBUTORS` topics (further ones are ignored), and the last :data:`MAX_HANDLES` handles of
each.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from schemas import media_types
from schemas.codecs import cmw
from schemas.codecs.tst_info import parse_tst_info
from schemas.errors import PeerError
from schemas.identifiers import HandleId
from schemas.instants import SECOND_US
from schemas.media_types import Indicator
from schemas.messages.handle import (
    MAX_HANDLE_BYTES,
    HandleClaims,
    StampVerifier,
    handle_id,
    unverified_claims,
    verify_handle,
)
from schemas.messages.handle_chain import Fit, HandleChain

MAX_DISTRIBUTORS: Final = 16
MAX_HANDLES: Final = 64
_MAX_PAYLOAD_BYTES: Final = MAX_HANDLE_BYTES + 256
_DETAIL_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The trusted signers of handles: the distributors' keys by key id, and a verifier of stamps by the TSAs' roots."""

    keys: Mapping[bytes, EllipticCurvePublicKey]
    stamps: StampVerifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One handle.

    Attributes:
        id: SHA-256 of its bytes.
        claims: its claims; signed by a trusted distributor only where ``verified``.
        verified: signature and stamp were verified here.
        time_us: of the TSA's stamp; None if that was not verified.
        accuracy_us: of that time.
        marker_us: the TSA's time in the epoch marker, which the distributor requests just before the stamp.
        received_us: when it arrived here, by this machine's clock.
        retained: the broker had it before we connected, so its time of arrival means nothing.
        fit: how it continues its distributor's chain.
    """

    id: HandleId
    claims: HandleClaims
    verified: bool
    time_us: int | None
    accuracy_us: int | None
    marker_us: int | None
    received_us: int
    retained: bool
    fit: Fit


@dataclass(slots=True, kw_only=True)
class Distributor:
    """One topic of handles. Owned by its :class:`HandleWatch`."""

    name: str
    handles: deque[Seen] = field(default_factory=lambda: deque(maxlen=MAX_HANDLES))
    refused: int = 0
    refused_code: str = ""
    refused_detail: str = ""
    refused_us: int = 0
    fits: Counter[str] = field(default_factory=Counter)


class HandleWatch:
    """All distributors. Owned by the thread that calls it."""

    def __init__(self, trust: Trust | None) -> None:
        """Starts without handles.

        Args:
            trust: None to verify no handle.
        """
        self.trust: Final = trust
        self.revision = 0
        self.distributors: Final[dict[str, Distributor]] = {}
        self._chain = HandleChain()

    def take(self, name: str, payload: bytes, received_us: int, *, retained: bool) -> None:
        """Takes one message of the handles topic.

        Args:
            name: the distributor, from the topic.
            payload: of the message.
            received_us: UTC microseconds.
            retained: whether the broker had it before we subscribed.
        """
        known = self.distributors.get(name)
        if known is None:
            if len(self.distributors) >= MAX_DISTRIBUTORS:
                return
            known = self.distributors[name] = Distributor(name=name)
        try:
            raw = cmw.unwrap(payload, media_types.HANDLE, Indicator.HANDLE, max_bytes=_MAX_PAYLOAD_BYTES)
            if any(seen.id == handle_id(raw) for seen in known.handles):
                return
            seen = self._seen(raw, known, received_us, retained=retained)
        except PeerError as error:
            known.refused += 1
            known.refused_code, known.refused_us = error.reason, received_us
            known.refused_detail = error.detail[:_DETAIL_CHARACTERS]
        else:
            known.handles.append(seen)
            known.fits[seen.fit] += 1
        self.revision += 1

    def find(self, handle: HandleId) -> Seen | None:
        """The handle of that id, if it was seen and is still in memory."""
        for distributor in self.distributors.values():
            for seen in reversed(distributor.handles):
                if seen.id == handle:
                    return seen
        return None

    def _seen(self, raw: bytes, known: Distributor, received_us: int, *, retained: bool) -> Seen:
        if self.trust is None:
            claims, verified, time_us, accuracy_us = unverified_claims(raw), False, None, None
            fit = _fit_by_name(claims, known)
        else:
            handle = verify_handle(raw, self.trust.keys, self.trust.stamps)
            claims, verified, time_us, accuracy_us = handle.claims, True, handle.time_us, handle.accuracy_us
            fit = self._chain.follow(handle)
        try:
            marker_us = parse_tst_info(claims.epoch_marker).gen_time_us
        except PeerError:
            marker_us = None
        return Seen(
            id=handle_id(raw),
            claims=claims,
            verified=verified,
            time_us=time_us,
            accuracy_us=accuracy_us,
            marker_us=marker_us,
            received_us=received_us,
            retained=retained,
            fit=fit,
        )


def _fit_by_name(claims: HandleClaims, known: Distributor) -> Fit:
    """How an unverified handle claims to follow: enough to show a gap, not enough to report a fork."""
    if not known.handles:
        return Fit.FIRST
    return Fit.LINKED if any(seen.id == claims.previous for seen in known.handles) else Fit.GAP


def seen_json(seen: Seen) -> dict[str, object]:
    """A handle for the page; times in UTC seconds, durations in seconds."""
    waited = seen.time_us is not None and seen.marker_us is not None
    return {
        "id": seen.id.hex(),
        "issuer": seen.claims.issuer,
        "previous": "" if seen.claims.previous is None else seen.claims.previous.hex(),
        "not_before": seen.claims.not_before_s,
        "expires": seen.claims.expires_s,
        "verified": seen.verified,
        "time": None if seen.time_us is None else seen.time_us / SECOND_US,
        "accuracy": None if seen.accuracy_us is None else seen.accuracy_us / SECOND_US,
        "received": None if seen.retained else seen.received_us / SECOND_US,
        "tsa_s": (seen.time_us - seen.marker_us) / SECOND_US if waited else None,  # type: ignore[operator]  # as checked
        "delay_s": None if seen.retained or seen.time_us is None else (seen.received_us - seen.time_us) / SECOND_US,
        "fit": seen.fit,
    }


def watch_json(watch: HandleWatch) -> dict[str, object]:
    """All distributors for the page, their handles newest first."""
    return {
        "verified": watch.trust is not None,
        "distributors": [
            {
                "name": each.name,
                "handles": [seen_json(seen) for seen in reversed(each.handles)],
                "fits": dict(each.fits),
                "refused": each.refused,
                "refused_code": each.refused_code,
                "refused_detail": each.refused_detail,
                "refused_at": each.refused_us / SECOND_US,
            }
            for each in sorted(watch.distributors.values(), key=lambda each: each.name)
        ],
    }
