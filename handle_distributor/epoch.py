"""What a handle may say and when a TSA's word counts. Pure: values in, values or errors out.

A TSA's answer is an :class:`Observation`: its genTime, and when its request left and its answer arrived by the
distributor's clock. From these follows an interval that holds the TSA's offset from that clock, if the TSA's accuracy
is as stated. Everything decided here is about such intervals, so neither the network's delay nor asking one TSA after
the other makes honest TSAs look apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.codecs.tst_info import TstInfo, parse_tst_info
from schemas.errors import WorldError
from schemas.identifiers import HandleId
from schemas.instants import SECOND_US
from schemas.messages.handle import EPOCH_BELL_IMPRINT, Handle, HandleClaims
from schemas.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One answer of one TSA.

    Attributes:
        tsa: which TSA, for messages.
        stamp: what it said, verified to a trusted root.
        sent_us, received_us: when the request left and the answer was there by the distributor's clock: UTC
            microseconds that advance with a monotonic clock, so the second is never before the first.
    """

    tsa: str
    stamp: TstInfo
    sent_us: int
    received_us: int

    @property
    def least_offset_us(self) -> int:
        """The TSA's clock is ahead of ours by at least this."""
        return self.stamp.gen_time_us - self.stamp.accuracy_us - self.received_us

    @property
    def most_offset_us(self) -> int:
        """The TSA's clock is ahead of ours by at most this."""
        return self.stamp.gen_time_us + self.stamp.accuracy_us - self.sent_us


def check_clock(observation: Observation, *, max_clock_offset_us: int, not_before: Handle | None) -> None:
    """Refuses a TSA whose clock and ours cannot both be right, whose accuracy is too poor, or that ran back.

    Args:
        observation: the answer.
        max_clock_offset_us: how far two right clocks may be apart, network not counted.
        not_before: the handle before this one; time must not run back from it.

    Raises:
        WorldError: ``tsa-clock-off``.
    """
    stamp = observation.stamp
    if stamp.accuracy_us > max_clock_offset_us:
        raise _clock_off(observation, f"states an accuracy of {stamp.accuracy_us / SECOND_US:g} s")
    # Its own accuracy must not excuse it: with none stated the interval is as wide as the answer took.
    least, most = stamp.gen_time_us - observation.received_us, stamp.gen_time_us - observation.sent_us
    if least > max_clock_offset_us:
        raise _clock_off(observation, f"is ahead of this machine's clock by {least / SECOND_US:.3f} s")
    if most < -max_clock_offset_us:
        raise _clock_off(observation, f"is behind this machine's clock by {-most / SECOND_US:.3f} s")
    if not_before is not None and stamp.gen_time_us < not_before.time_us:
        raise _clock_off(
            observation, f"is {(not_before.time_us - stamp.gen_time_us) / SECOND_US:.3f} s before the last handle"
        )


def check_agreement(reference: Observation, witnesses: Sequence[Observation], *, required: int) -> None:
    """Refuses a TSA that too few others agree with: two agree when their offsets' intervals meet.

    Args:
        reference: the TSA that stamps the handle; counts as one.
        witnesses: other TSAs' answers from the same round.
        required: how many must agree.

    Raises:
        WorldError: ``tsa-disagree``.
    """
    agreeing = [
        witness
        for witness in witnesses
        if witness.least_offset_us <= reference.most_offset_us and reference.least_offset_us <= witness.most_offset_us
    ]
    if 1 + len(agreeing) < required:
        others = ", ".join(f"{witness.tsa} {_offset(witness)}" for witness in witnesses) or "none answered"
        raise WorldError(
            Reason.TSA_DISAGREE,
            f"{reference.tsa}: {1 + len(agreeing)} of {required} TSAs agree; "
            f"its clock is off by {_offset(reference)}; others: {others}",
        )


def choose_claims(
    *, issuer: str, marker: bytes, nonce: bytes, previous: HandleId | None, lifetime_s: int
) -> HandleClaims:
    """The claims of the next handle.

    Args:
        issuer: this distributor's name.
        marker: DER TSTInfo of a verified token over the epoch bell's imprint.
        nonce: 32 fresh random bytes.
        previous: the id of the last handle that may have left this process; None for the first ever.
        lifetime_s: how long the handle is accepted.

    Raises:
        WorldError: ``tsa-malformed`` when the marker is about something else.
    """
    info = parse_tst_info(marker)
    if info.imprint != EPOCH_BELL_IMPRINT:
        raise WorldError(Reason.TSA_MALFORMED, "the epoch marker's imprint is not SHA-256 of EPOCH_BELL")
    not_before_s = info.gen_time_us // SECOND_US
    return HandleClaims(
        issuer=issuer,
        not_before_s=not_before_s,
        expires_s=not_before_s + lifetime_s,
        nonce=nonce,
        epoch_marker=marker,
        previous=previous,
    )


def _clock_off(observation: Observation, what: str) -> WorldError:
    return WorldError(Reason.TSA_CLOCK_OFF, f"{observation.tsa} {what}")


def _offset(observation: Observation) -> str:
    return f"{observation.least_offset_us / SECOND_US:+.3f} to {observation.most_offset_us / SECOND_US:+.3f} s"
