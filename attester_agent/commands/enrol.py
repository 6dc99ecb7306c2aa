"""``attester-agent enrol``: over the broker, or a file at a time where there is none."""

import argparse
import queue
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attester_agent.enrolment import (
    RETRIED,
    EndorserKeys,
    Enrolling,
    answer_challenge,
    make_request,
    read_outcome,
    read_request,
)
from attester_agent.ports import Identity
from attester_agent.settings import Settings
from attester_agent.tpm.device import TpmDevice
from attester_agent.tpm.enrolment import TpmEnrolment
from runtime import clock
from runtime.durable import write_durable
from runtime.keys import load_public_keys, read_file
from runtime.mqtt import Message, MqttConnection, MqttSettings, Session
from runtime.service import Stop
from runtime.telemetry import Log
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.identifiers import ueid_text
from schemas.media_types import Indicator
from schemas.messages.endorsement import Endorsement, verify_endorsement
from schemas.messages.enrolment import NONCE_BYTES, IakProof, Outcome
from schemas.reasons import Reason
from schemas.topics import check_name

_LOG: Final = Log("agent")
_ANSWER_S: Final = 5.0  # then the whole attempt starts again: the endorser may have been restarted
_LOOK_S: Final = 0.5
_PEM: Final = b"-----BEGIN "

_DESCRIPTION: Final = """Prove to the endorser that this device's attesting key is in a genuine TPM; get it endorsed.

Makes the attesting key if there is none, sends it with the TPM's endorsement key and the manufacturer's certificate,
and opens the secret that the endorser seals for that TPM and that key. Ends with the endorsement, which verifiers have
by then, too, or with the reason why there is none. Running it again does no harm.
"""
_EPILOG: Final = """Over the broker that the configuration names:
  attester-agent enrol --config agent.toml --endorser-key endorser.pub --name device-7

By files, each carried to the endorser (`endorser enrolment`) and back:
  attester-agent enrol --config agent.toml --out request.cbor
  attester-agent enrol --config agent.toml --endorser-key endorser.pub --request request.cbor --in challenge.cbor \\
      --out activation.cbor
  attester-agent enrol --config agent.toml --endorser-key endorser.pub --request request.cbor --in outcome.cbor

The certificate is read from the TPM, index 0x01c00002 (tpm.ek = "rsa") or 0x01c0000a ("ecc"); some manufacturers
publish it on a web site instead: --ek-certificate. Where whoever built the device left an initial attestation key (IAK)
with a certificate instead: --iak-certificate iak.pem --iak-handle 0x81020010.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Device:
    """This device and whom it believes."""

    tpm: TpmEnrolment
    identity: Identity
    keys: EndorserKeys
    name: str | None
    certificates: tuple[bytes, ...] | None
    iak: int | None

    def request(self) -> Enrolling:
        nonce = clock.random_bytes(NONCE_BYTES)
        if self.iak is not None and self.certificates:
            attest, signature = self.tpm.certify(self.iak, nonce)
            proof = IakProof(certificate=self.certificates[0], attest=attest, signature=signature)
            return make_request(self.tpm, self.identity, nonce, self.name, self.certificates[1:], proof)
        return make_request(self.tpm, self.identity, nonce, self.name, self.certificates)


def add_enrol(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    enrol = commands.add_parser(
        "enrol",
        help="prove that the attesting key is in a genuine TPM, and get it endorsed",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    enrol.add_argument("--config", type=Path, required=True, help="TOML file of the agent")
    enrol.add_argument("--endorser-key", type=Path, action="append", default=[], help="public key of the endorser")
    enrol.add_argument("--name", help="what to call this device, for good (default: the name in the configuration)")
    enrol.add_argument(
        "--ek-certificate", type=Path, action="append", help="the EK certificate, PEM or DER, then those above it"
    )
    enrol.add_argument(
        "--iak-certificate",
        type=Path,
        action="append",
        help="instead: the certificate of an initial attestation key, then those above it",
    )
    enrol.add_argument("--iak-handle", type=_handle, metavar="0x81…", help="and the persistent handle of that key")
    enrol.add_argument("--patience", type=float, default=60.0, help="seconds to wait for the endorser (%(default)s)")
    enrol.add_argument("--request", type=Path, metavar="FILE", help="by files: the request of this attempt")
    enrol.add_argument("--in", type=Path, metavar="FILE", help="by files: what came from the endorser")
    enrol.add_argument("--out", type=Path, metavar="FILE", help="by files: what to bring to the endorser")
    enrol.set_defaults(check_config=False)


def _handle(text: str) -> int:
    """For argparse: a number in any notation."""
    return int(text, 0)


def run_enrol(settings: Settings, options: argparse.Namespace, stop: Stop) -> str:
    """Enrols, or does one step of it; returns what to tell the operator.

    Raises:
        ConfigError: an option or a file is wrong, or the TPM needs the operator.
        PeerError: the endorser refused, with its reason, or has yet to decide: ``enrolment-pending``.
        WorldError: ``broker-unreachable`` when the endorser did not answer in time; ``tpm-…``.
    """
    received: Path | None = getattr(options, "in")
    needs_key = received is not None or options.out is None
    if needs_key and not options.endorser_key:
        raise ConfigError("--endorser-key: missing; whose word is to count?")
    try:
        wanted: str | None = options.name or settings.name
        name = None if wanted is None else check_name(wanted)
    except PeerError as error:
        raise ConfigError(f"--name: {error.detail}") from error
    if (options.iak_handle is None) != (not options.iak_certificate) or (options.iak_handle and options.ek_certificate):
        raise ConfigError("--iak-certificate and --iak-handle go together, and not with --ek-certificate")
    files = options.ek_certificate or options.iak_certificate
    device = _Device(
        tpm=TpmEnrolment(settings.tpm, pause=stop.wait),
        identity=TpmDevice(settings.tpm, pause=stop.wait).identity(),
        keys=load_public_keys(options.endorser_key),
        name=name,
        certificates=_certificates(files) if files else None,
        iak=options.iak_handle,
    )
    if received is not None:
        return _continue_by_file(device, options.request, received, options.out)
    if options.out is not None:
        write_durable(options.out, device.request().payload)
        return f"{options.out}: the request of {ueid_text(device.identity.ueid)}; keep it until the outcome is there"
    return _tell(_converse(device, settings.mqtt, options.patience, stop))


def _continue_by_file(device: _Device, request: Path | None, received: Path, out: Path | None) -> str:
    if request is None:
        raise ConfigError("--request: missing; the file that `attester-agent enrol --out` wrote")
    attempt = read_request(read_file(request), device.identity.ueid)
    payload = read_file(received)
    if cmw.unverified_type(payload) == media_types.ENROLMENT_OUTCOME:
        outcome, endorsement = read_outcome(attempt, payload, device.keys, device.identity)
        if endorsement is None:
            raise _refusal(outcome)
        if out is not None and outcome.endorsement is not None:
            write_durable(out, outcome.endorsement)
        return _tell(endorsement)
    activation = answer_challenge(attempt, payload, device.keys, device.tpm)
    if out is None:
        raise ConfigError("--out: missing; where to write the activation for the endorser")
    write_durable(out, activation)
    return f"{out}: the activation; bring it to the endorser: endorser enrolment accept --in {out.name}"


def _converse(device: _Device, mqtt: MqttSettings, patience_s: float, stop: Stop) -> Endorsement:
    messages: queue.Queue[Message] = queue.Queue(100)  # what does not fit is lost, and asked for again
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
        raise _refusal(last)
    raise WorldError(
        Reason.BROKER_UNREACHABLE, f"{mqtt.host}:{mqtt.port}: no answer of an endorser within {patience_s:g} s"
    )


class _Conversation:
    """Attempts to enrol over one connection.

    ``pending`` is the answer that an operator has yet to decide, ``refused`` the last refusal.
    """

    def __init__(
        self, device: _Device, connection: MqttConnection, messages: "queue.Queue[Message]", topic: str
    ) -> None:
        self._device = device
        self._connection = connection
        self._messages = messages
        self._topic = topic
        self.pending: Outcome | None = None
        self.refused: Outcome | None = None

    def attempt(self, soon_s: float, late_s: float, stop: Stop) -> Endorsement | None:
        """One request and what follows; None when it is time for another one.

        Args:
            soon_s: until when an answer must have come.
            late_s: until when to wait for an operator, once the device is pending.
            stop: ends it all.
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
                    raise _refusal(taken)
                continue
            if taken is not None:
                return taken
        return None

    def _take(self, attempt: Enrolling, message: Message) -> Endorsement | Outcome | None:
        """An endorsement, or a refusal, or nothing that ends the conversation."""
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
        """The endorsement that an operator's approval brought, as verifiers see it."""
        endorsement = verify_endorsement(
            cmw.unwrap(payload, media_types.SIGNED_CORIM, Indicator.ENDORSEMENTS), self._device.keys
        )
        ours = endorsement.attesting_key.name == self._device.identity.environment
        return endorsement if ours and endorsement.not_after_s > clock.utc_s() else None


def _refusal(outcome: Outcome) -> PeerError:
    known = {str(reason) for reason in Reason}
    reason = Reason(outcome.reason) if outcome.reason in known else Reason.ENROLMENT_REJECTED
    return PeerError(reason, f"the endorser says: {outcome.detail or outcome.reason}")


def _tell(endorsement: Endorsement) -> str:
    return (
        f"{ueid_text(endorsement.ueid)}: endorsed by {endorsement.signer}, version {endorsement.version}, "
        f"genuine TPM by {endorsement.genuine or 'nothing'}. Next: attester-agent run"
    )


def _certificates(paths: list[Path]) -> tuple[bytes, ...]:
    found: list[bytes] = []
    for path in paths:
        raw = read_file(path)
        try:
            loaded = x509.load_pem_x509_certificates(raw) if _PEM in raw else [x509.load_der_x509_certificate(raw)]
        except ValueError as error:
            raise ConfigError(f"{path}: expected certificates, PEM or DER ({error})") from error
        found += [each.public_bytes(Encoding.DER) for each in loaded]
    return tuple(found)
