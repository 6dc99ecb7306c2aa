"""Background check: a relying party sends evidence to the verifier over the broker and waits for its result.

The verifier needs no extra interface: the evidence is published on the attester's own topic, and the result that names
this evidence's digest is the answer. The relying party does not verify the evidence; it only reads the attester from
it, to choose topics. The verifier answers evidence that it already has with the same result again. It does not answer
evidence that it refuses, so the wait ends with ``result-missing``.
"""

import queue
from typing import Final

from relying_party.attestation import Attestation
from relying_party.results import Results
from runtime import clock
from runtime.mqtt import Message, MqttConnection, MqttSettings, Session
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import PeerError, WorldError
from schemas.identifiers import Ueid, ueid_text
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.evidence import Evidence, parse_evidence
from schemas.reasons import Reason
from schemas.verdicts import Freshness

DEFAULT_WAIT_S: Final = 10.0
_QUEUE_MESSAGES: Final = 1000


def submit(
    mqtt: MqttSettings, results: Results, payload: bytes, *, ueid: Ueid | None = None, wait_s: float = DEFAULT_WAIT_S
) -> Attestation:
    """Has evidence appraised.

    A ``pending`` result lacks its handle: the wait goes on, and the pending result is returned if no better one comes.

    Args:
        mqtt: the broker; it must let the caller write evidence.
        results: the trusted verifiers, and the demands on the result.
        payload: a CMW record with evidence.
        ueid: the attester that it must be of; None for the attester that it names.
        wait_s: seconds for everything, including the connection.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``unknown-media-type``: not evidence; ``result-of-another-attester``:
            not of ``ueid``; or as :meth:`Results.verify` about the verifier's answer.
        WorldError: ``broker-unreachable``; ``result-missing`` when no result about this evidence came in time.
    """
    evidence = parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE))
    claimed = evidence.body.ueid
    if ueid is not None and claimed != ueid:
        detail = f"evidence: of {ueid_text(claimed)}, expected {ueid_text(ueid)}"
        raise PeerError(Reason.RESULT_OF_ANOTHER_ATTESTER, detail)
    arrived: queue.Queue[Message] = queue.Queue(_QUEUE_MESSAGES)
    client_id = f"relying-party-{clock.random_bytes(6).hex()}"
    session = Session(client_id=client_id, subscriptions=(mqtt.topics.results(claimed),))
    connection = MqttConnection(mqtt, session, on_message=arrived.put)
    deadline_s = clock.monotonic_s() + wait_s
    connection.start()
    try:
        ready = connection.wait_subscribed(wait_s)
        if not ready or connection.publish(mqtt.topics.evidence(claimed), payload) is None:
            raise WorldError(Reason.BROKER_UNREACHABLE, f"{mqtt.host}:{mqtt.port}: not connected within {wait_s:g} s")
        return _await_result(arrived, results, evidence, deadline_s, wait_s)
    finally:
        connection.stop()


def _await_result(
    arrived: "queue.Queue[Message]", results: Results, evidence: Evidence, deadline_s: float, wait_s: float
) -> Attestation:
    """The first result about this evidence that is not pending; other results only explain a failure."""
    pending: Attestation | None = None
    unmet: PeerError | None = None
    heard = "nothing about this attester"
    while (left_s := deadline_s - clock.monotonic_s()) > 0:
        try:
            message = arrived.get(timeout=left_s)
        except queue.Empty:
            break
        try:
            token = result_token.unwrap(message.payload)
            result = results.read(token)
        except PeerError as error:
            heard = f"a result that does not verify ({error.detail})"
            continue
        if result.evidence != evidence.body_digest or result.ueid != evidence.body.ueid:
            heard = f"a result about push {result.sequence} of this attester, from {result.verifier}"
            continue
        try:
            attestation = results.verify(token, ueid=evidence.body.ueid)
        except PeerError as error:
            if result.freshness is not Freshness.PENDING:
                raise
            unmet = error  # the age of a pending result is not known yet
            continue
        if attestation.result.freshness is not Freshness.PENDING:
            return attestation
        pending = attestation
    if pending is not None:
        return pending
    if unmet is not None:
        raise unmet
    detail = (
        f"no result about push {evidence.body.sequence}, body {evidence.body_digest.hex()[:16]}…, in {wait_s:g} s; "
        f"received {heard}. No verifier is running, or it refused this evidence: its log lines and metrics say why"
    )
    raise WorldError(Reason.RESULT_MISSING, detail)
