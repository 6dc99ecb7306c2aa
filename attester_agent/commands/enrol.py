"""``attester-agent enrol``: enrols this device over the broker, or in steps by files if there is no network."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding

from attester_agent.commands.options import add_config, settings_of
from attester_agent.enrolment import answer_challenge, read_outcome, read_request
from attester_agent.enrolment_conversation import EnrollingDevice, enrol_over_broker, refusal
from attester_agent.settings import Settings
from attester_agent.tpm.device import TpmDevice
from attester_agent.tpm.enrolment import TpmEnrolment
from runtime.durable import write_durable
from runtime.keys import load_certificates, load_public_keys, read_file
from runtime.service import Stop
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import ConfigError, as_config_error
from schemas.identifiers import ueid_text
from schemas.messages.endorsement import Endorsement
from schemas.topics import check_name

if TYPE_CHECKING:
    from runtime.command_line import Parsers


_DESCRIPTION: Final = """Prove to the endorser that this device's attesting key is in a genuine TPM; get it endorsed.

Makes the attesting key if there is none, sends it with the TPM's endorsement key and the manufacturer's certificate,
and opens the secret that the endorser seals for that TPM and that key. Ends with the endorsement, which the endorser
also publishes to verifiers, or with the reason for a refusal. Running it again does no harm.
"""
_EPILOG: Final = """Over the broker that the configuration names:
  attester-agent enrol --config agent.toml --endorser-key endorser.pub --name device-7

By files, each carried to the endorser (`endorser enrolment`) and back:
  attester-agent enrol --config agent.toml --out request.cbor
  attester-agent enrol --config agent.toml --endorser-key endorser.pub --request request.cbor --in challenge.cbor \\
      --out activation.cbor
  attester-agent enrol --config agent.toml --endorser-key endorser.pub --request request.cbor --in outcome.cbor

The certificate is read from the TPM, index 0x01c00002 (tpm.ek = "rsa") or 0x01c0000a ("ecc"). Some manufacturers
publish it on a web site instead: use --ek-certificate. If the device has an initial attestation key (IAK) with a
certificate instead: use --iak-certificate iak.pem --iak-handle 0x81020010.
"""


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser(
        "enrol",
        help="prove that the attesting key is in a genuine TPM, and get it endorsed",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add_config(parser)
    parser.add_argument("--endorser-key", type=Path, action="append", default=[], help="public key of the endorser")
    parser.add_argument("--name", help="permanent name of this device (default: the name in the configuration)")
    parser.add_argument(
        "--ek-certificate", type=Path, action="append", help="the EK certificate, PEM or DER, then those above it"
    )
    parser.add_argument(
        "--iak-certificate",
        type=Path,
        action="append",
        help="instead: the certificate of an initial attestation key, then those above it",
    )
    parser.add_argument("--iak-handle", type=_handle, metavar="0x81…", help="and the persistent handle of that key")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for the endorser (%(default)s)")
    parser.add_argument("--request", type=Path, metavar="FILE", help="by files: the request of this attempt")
    parser.add_argument("--in", type=Path, metavar="FILE", help="by files: the file from the endorser")
    parser.add_argument("--out", type=Path, metavar="FILE", help="by files: the file to bring to the endorser")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Enrols, or does one step of it."""
    print(run_enrol(settings_of(arguments), arguments, Stop().on_signals()))


def _handle(text: str) -> int:
    """For argparse: a number in any notation."""
    return int(text, 0)


def run_enrol(settings: Settings, options: argparse.Namespace, stop: Stop) -> str:
    """Enrols, or does one step of it; returns the text for the operator.

    Raises:
        ConfigError: an option or a file is wrong, or the operator must correct something in the TPM.
        PeerError: the endorser refused, with its reason, or an operator has not decided yet: ``enrolment-pending``.
        WorldError: ``broker-unreachable`` if the endorser did not answer in time; ``tpm-…``.
    """
    received: Path | None = getattr(options, "in")
    needs_key = received is not None or options.out is None
    if needs_key and not options.endorser_key:
        raise ConfigError("--endorser-key: missing; it is needed to verify the endorser's answer")
    with as_config_error("--name"):
        wanted: str | None = options.name or settings.name
        name = None if wanted is None else check_name(wanted)
    if (options.iak_handle is None) != (not options.iak_certificate) or (options.iak_handle and options.ek_certificate):
        raise ConfigError("--iak-certificate and --iak-handle go together, and not with --ek-certificate")
    files = options.ek_certificate or options.iak_certificate
    device = EnrollingDevice(
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
        return f"{options.out}: the request of {ueid_text(device.identity.ueid)}; keep it until you have the outcome"
    return _report(enrol_over_broker(device, settings.mqtt, options.patience, stop))


def _continue_by_file(device: EnrollingDevice, request: Path | None, received: Path, out: Path | None) -> str:
    if request is None:
        raise ConfigError("--request: missing; give the file that `attester-agent enrol --out` wrote")
    attempt = read_request(read_file(request), device.identity.ueid)
    payload = read_file(received)
    if cmw.unverified_type(payload) == media_types.ENROLMENT_OUTCOME:
        outcome, endorsement = read_outcome(attempt, payload, device.keys, device.identity)
        if endorsement is None:
            raise refusal(outcome)
        if out is not None and outcome.endorsement is not None:
            write_durable(out, outcome.endorsement)
        return _report(endorsement)
    activation = answer_challenge(attempt, payload, device.keys, device.tpm)
    if out is None:
        raise ConfigError("--out: missing; give a file for the activation")
    write_durable(out, activation)
    return f"{out}: the activation; bring it to the endorser: endorser enrolment accept --in {out.name}"


def _report(endorsement: Endorsement) -> str:
    return (
        f"{ueid_text(endorsement.ueid)}: endorsed by {endorsement.signer}, version {endorsement.version}, "
        f"genuine TPM by {endorsement.genuine or 'nothing'}. Next: attester-agent run"
    )


def _certificates(paths: list[Path]) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for path in paths for each in load_certificates(path))
