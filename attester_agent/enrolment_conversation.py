"""Enrols this device over the broker: repeats the request until the endorser endorses or refuses, or time is up."""

import queue
from dataclasses import dataclass
from typing import Final

from attester_agent.enrolment import (
    RETRIED,
    EndorserKeys,
    Enrolling,
    answer_challenge,
    make_request,
    read_outcome,
)
from attester_agent.ports import Identity
from attester_agent.tpm.enrolment import TpmEnrolment
from runtime import clock
from runtime.mqtt import Message, MqttConnection, MqttSettings, Session
from runtime.service import Stop
from runtime.telemetry import Logger
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import PeerError, WorldError
from schemas.identifiers import ueid_text
from schemas.media_types import Indicator
from schemas.messages.endorsement import Endorsement, verify_endorsement
from schemas.messages.enrolment import NONCE_BYTES, IakProof, Outcome
from schemas.reasons import Reason

_LOG: Final = Logger("agent")
_ANSWER_S: Final = 5.0  # then the attempt starts again, in case the endorser was restarted
_LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollingDevice:
    """This device, and the endorsers that it trusts.

    Attributes:
        tpm: of the device.
        identity: its UEID and attesting key.
        keys: of endorsers.
        name: for the device; None leaves it without one.
        certificates: of the endorsement key, or with ``iak`` of that key, and those above; None reads the TPM's.
        iak: handle of an initial attestation key; None uses the endorsement key's certificate.
    """

    tpm: TpmEnrolment
    identity: Identity
    keys: EndorserKeys
    name: str | None
    certificates: tuple[bytes, ...] | None
    iak: int | None

    def request(self) -> Enrolling:
        """Makes a new request."""
        nonce = clock.random_bytes(NONCE_BYTES)
        if self.iak is not None and self.certificates:
            attest, signature = self.tpm.certify(self.iak, nonce)
            proof = IakProof(certificate=self.certificates[0], attest=attest, signature=signature)
            return make_request(self.tpm, self.identity, nonce, self.name, self.certificates[1:], proof)
        return make_request(self.tpm, self.identity, nonce, self.name, self.certificates)


def enrol_over_broker(device: EnrollingDevice, mqtt: MqttSettings, patience_s: float, stop: Stop) -> Endorsement:
    """Enrols the device.

    Raises:
        PeerError: the endorser refused, with its reason, or an operator has not decided yet: ``enrolment-pending``.
        WorldError: ``broker-unreachable`` if no endorser answered in time; ``tpm-…``.
    """
    messages: queue.Queue[Message] = queue.Queue(100)  # messages beyond this are dropped; the attempt is repeated
    topics, ueid = mqtt.topics, device.identity.ueid

    def put(message: Message) -> None:
        if not messages.full():
            messages.put_nowait(message)

    session = Session(
        client_id=f"enrol-{ueid_text(ueid)}", subscriptions=(topics.enrolment(ueid), topics.endorsements(ueid))
    )
    connection = MqttConnection(mqtt, session, on_message=put)
    talk = _Conversation(device, connection, messages, topics.enrol(ueid))
    deadline_s = clock.monotonic_s() + patience_s
    connection.start()
    try:
        while clock.monotonic_s() < deadline_s and not stop.requested:
            endorsement = talk.attempt(min(deadline_s, clock.monotonic_s() + _ANSWER_S), deadline_s, stop)
            if endorsement is not None:
                return endorsement
    finally:
        connection.stop()
    last = talk.pending or talk.refused
    if last is not None:
        raise refusal(last)
    raise WorldError(
        Reason.BROKER_UNREACHABLE, f"{mqtt.host}:{mqtt.port}: no answer of an endorser within {patience_s:g} s"
    )


class _Conversation:
    """Attempts to enrol over one connection.

    ``pending`` is the answer that an operator must decide first, ``refused`` the last refusal.
    """

    def __init__(
        self, device: EnrollingDevice, connection: MqttConnection, messages: "queue.Queue[Message]", topic: str
    ) -> None:
        self._device = device
        self._connection = connection
        self._messages = messages
        self._topic = topic
        self.pending: Outcome | None = None
        self.refused: Outcome | None = None

    def attempt(self, soon_s: float, late_s: float, stop: Stop) -> Endorsement | None:
        """Sends one request and handles the answers; None if the request must be repeated.

        Args:
            soon_s: deadline for an answer.
            late_s: deadline for the operator's decision, once the device is pending.
            stop: ends the attempt.
        """
        if not self._connection.wait_subscribed(max(0.0, soon_s - clock.monotonic_s())):
            return None
        attempt = self._device.request()
        self._connection.publish(self._topic, attempt.payload)
        while clock.monotonic_s() < (soon_s if self.pending is None else late_s) and not stop.requested:
            try:
                message = self._messages.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            try:
                taken = self._take(attempt, message)
            except PeerError as error:  # anyone can write to these topics
                _LOG.warning("ignored", topic=message.topic, reason=error.reason, detail=error.detail)
                continue
            if isinstance(taken, Outcome):
                self.refused = taken
                if taken.reason not in RETRIED:
                    raise refusal(taken)
                continue
            if taken is not None:
                return taken
        return None

    def _take(self, attempt: Enrolling, message: Message) -> Endorsement | Outcome | None:
        """Handles one message: returns an endorsement or a refusal; None if the conversation continues."""
        device, kind = self._device, cmw.unverified_type(message.payload)
        if kind == media_types.ENROLMENT_CHALLENGE:
            self._connection.publish(self._topic, answer_challenge(attempt, message.payload, device.keys, device.tpm))
            return None
        if kind == media_types.SIGNED_CORIM:
            return None if self.pending is None else self._approved(message.payload)
        outcome, endorsement = read_outcome(attempt, message.payload, device.keys, device.identity)
        if endorsement is None and outcome.reason == Reason.ENROLMENT_PENDING:
            _LOG.warning("pending", ueid=ueid_text(attempt.ueid), next="endorser approve UEID")
            self.pending = outcome
            return None
        return endorsement or outcome

    def _approved(self, payload: bytes) -> Endorsement | None:
        """The endorsement that followed an operator's approval, from the topic that verifiers read."""
        endorsement = verify_endorsement(
            cmw.unwrap(payload, media_types.SIGNED_CORIM, Indicator.ENDORSEMENTS), self._device.keys
        )
        is_for_us = endorsement.attesting_key.name == self._device.identity.environment
        return endorsement if is_for_us and endorsement.not_after_s > clock.utc_s() else None


def refusal(outcome: Outcome) -> PeerError:
    """The endorser's refusal as an error."""
    known = {str(reason) for reason in Reason}
    reason = Reason(outcome.reason) if outcome.reason in known else Reason.ENROLMENT_REJECTED
    return PeerError(reason, f"the endorser answered: {outcome.detail or outcome.reason}")
