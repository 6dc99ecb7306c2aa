"""Decides whether a TSA's time is accepted, and chooses the claims of a handle. Pure: values in, values or errors out.

An :class:`Observation` is one TSA's answer: its genTime, and the times at which the request left and the answer
arrived by the distributor's clock. If the TSA's stated accuracy is right, these give an interval that contains the
offset between the two clocks. All checks compare such intervals, so network delay and asking the TSAs one after the
other do not make honest TSAs look apart.
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
        tsa: the TSA's name, for messages.
        stamp: its TSTInfo, verified to a trusted root.
        sent_us, received_us: when the request left and when the answer arrived, by the distributor's clock: UTC
            microseconds that advance with a monotonic clock, so ``received_us`` is never before ``sent_us``.
    """

    tsa: str
    stamp: TstInfo
    sent_us: int
    received_us: int

    @property
    def least_offset_us(self) -> int:
        """The TSA's clock is ahead of this machine's by at least this."""
        return self.stamp.gen_time_us - self.stamp.accuracy_us - self.received_us

    @property
    def most_offset_us(self) -> int:
        """The TSA's clock is ahead of this machine's by at most this."""
        return self.stamp.gen_time_us + self.stamp.accuracy_us - self.sent_us


def check_clock(observation: Observation, *, max_clock_offset_us: int, not_before: Handle | None) -> None:
    """Refuses a TSA whose clock is too far from this machine's, whose accuracy is too poor, or whose clock ran back.

    Args:
        observation: the answer.
        max_clock_offset_us: how far the two clocks may be apart, after the network's delay is allowed for.
        not_before: the previous handle; the TSA's time must not be before it.

    Raises:
        WorldError: ``tsa-clock-off``.
    """
    stamp = observation.stamp
    if stamp.accuracy_us > max_clock_offset_us:
        raise _clock_off(observation, f"states an accuracy of {stamp.accuracy_us / SECOND_US:g} s")
    # Without the stated accuracy: it must not excuse a wrong clock. The interval is as wide as the answer took.
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
    """Refuses a TSA that too few others agree with. Two TSAs agree when the intervals of their offsets overlap.

    Args:
        reference: the answer of the TSA that stamps the handle; it is one of them.
        witnesses: the other TSAs' answers in the same round.
        required: how many TSAs must agree.

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
    """Makes the claims of the next handle.

    Args:
        issuer: this distributor's name.
        marker: DER TSTInfo of a verified token over the epoch bell's imprint.
        nonce: 32 fresh random bytes.
        previous: the id of the last handle that may have left this process; None for the first of the chain.
        lifetime_s: how long the handle is accepted.

    Raises:
        WorldError: ``tsa-malformed`` when the marker stamps something else.
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


def _clock_off(observation: Observation, problem: str) -> WorldError:
    return WorldError(Reason.TSA_CLOCK_OFF, f"{observation.tsa} {problem}")


def _offset(observation: Observation) -> str:
    return f"{observation.least_offset_us / SECOND_US:+.3f} to {observation.most_offset_us / SECOND_US:+.3f} s"
