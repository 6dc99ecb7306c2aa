"""``attester-agent passport``: fetches the newest result about this device, for a relying party without a broker.

Checks the result as a relying party would, with the verifier keys that are trusted for solicits. Refuses one that has
expired, or is about another device or attesting key. Given a challenge, the TPM proves that this device presents the
result (:mod:`schemas.messages.passport_proof`).
"""

import argparse
import queue
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attester_agent.adapters.loaded_files import load_trust
from attester_agent.commands.options import add_config, settings_of
from attester_agent.ports import Identity
from attester_agent.settings import Settings
from attester_agent.tpm.device import TpmDevice
from runtime import clock
from runtime.durable import write_durable
from runtime.mqtt import Message, MqttConnection, Session
from runtime.service import Stop
from schemas.errors import ConfigError, PeerError, WorldError, as_config_error
from schemas.messages import passport_proof, result_token
from schemas.messages.passport_proof import PassportProof, encode_proof
from schemas.messages.result_token import ResultFormat
from schemas.reasons import Reason
from schemas.tpm.pcr import PcrSelection

if TYPE_CHECKING:
    from runtime.command_line import Parsers

DEFAULT_WAIT_S: Final = 10.0
_QUEUE_MESSAGES: Final = 16
_NO_PCRS: Final = PcrSelection(banks=())


@dataclass(frozen=True, slots=True, kw_only=True)
class PassportRequest:
    """The options of the command.

    Attributes:
        out: file for the token; None prints it.
        challenge: of the relying party, in hexadecimal.
        proof: file for the answer to the challenge; both or neither.
        wait_s: time to connect and receive the result.
    """

    out: Path | None
    challenge: str | None
    proof: Path | None
    wait_s: float


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("passport", help="fetch the result about this device, to show it to someone")
    add_config(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the token there instead of printing it")
    parser.add_argument("--challenge", metavar="HEX", help="answer a relying party's challenge with the TPM")
    parser.add_argument("--proof", type=Path, metavar="FILE", help="file for the answer")
    parser.add_argument(
        "--wait", type=float, default=DEFAULT_WAIT_S, metavar="S", help="for the result (default: %(default)g)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Fetches the result and shows it."""
    settings = settings_of(arguments)
    request = PassportRequest(
        out=arguments.out, challenge=arguments.challenge, proof=arguments.proof, wait_s=arguments.wait
    )
    print(run_passport(settings, request, Stop().on_signals()))


def run_passport(settings: Settings, request: PassportRequest, stop: Stop) -> str:
    """Fetches and checks the result; returns the text to print.

    Raises:
        ConfigError: no verifier is trusted, or options contradict each other.
        PeerError: the result's signature is not valid, it has expired, or it is about another device or key.
        WorldError: broker or TPM failed, or ``result-missing``.
    """
    challenge = _challenge(request)
    keys = result_token.result_keys(load_trust(settings).verifiers)
    if not keys:
        raise ConfigError("trust.verifier_keys: empty; without a trusted verifier no result can be checked")
    device = TpmDevice(settings.tpm, pause=stop.wait)
    identity = device.identity()
    token = result_token.unwrap(_fetch(settings, identity, request.wait_s))
    result = result_token.verify(token, keys)
    if result.ueid != identity.ueid or result.environment != identity.environment:
        raise PeerError(Reason.RESULT_OF_ANOTHER_ATTESTER, "attestation result: about another device or attesting key")
    if clock.utc_s() >= result.expires_s:
        raise PeerError(Reason.RESULT_EXPIRED, "attestation result: expired; is the agent running?")
    if challenge is not None and request.proof is not None:
        with device.session() as session:
            quote = session.quote(passport_proof.qualifying_data(token, challenge), _NO_PCRS)
        proof = PassportProof(attest=quote.attest, signature=quote.signature, public=identity.public)
        write_durable(request.proof, encode_proof(proof))
    if request.out is not None:
        write_durable(request.out, token)
        return f"{request.out}: {result.status}, by {result.verifier}, for {result.expires_s - clock.utc_s()} s"
    return token.decode("ascii") if result_token.format_of(token) is ResultFormat.JWT else token.hex()


def _challenge(request: PassportRequest) -> bytes | None:
    if (request.challenge is None) != (request.proof is None):
        raise ConfigError("--challenge, --proof: one needs the other")
    if request.challenge is None:
        return None
    with as_config_error("--challenge"):
        return passport_proof.parse_challenge(request.challenge)


def _fetch(settings: Settings, identity: Identity, wait_s: float) -> bytes:
    """The first message on this device's results topic: the retained one, or else the next one."""
    mqtt = settings.mqtt
    arrived: queue.Queue[Message] = queue.Queue(_QUEUE_MESSAGES)
    client_id = f"attester-passport-{clock.random_bytes(6).hex()}"
    session = Session(client_id=client_id, subscriptions=(mqtt.topics.results(identity.ueid),))
    connection = MqttConnection(mqtt, session, on_message=arrived.put)
    deadline_s = clock.monotonic_s() + wait_s
    connection.start()
    try:
        if not connection.wait_subscribed(wait_s):
            raise WorldError(Reason.BROKER_UNREACHABLE, f"{mqtt.host}:{mqtt.port}: not connected within {wait_s:g} s")
        return arrived.get(timeout=max(0.001, deadline_s - clock.monotonic_s())).payload
    except queue.Empty as error:
        detail = f"no verifier has published a result about this device within {wait_s:g} s"
        raise WorldError(Reason.RESULT_MISSING, detail) from error
    finally:
        connection.stop()
