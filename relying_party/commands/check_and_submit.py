"""``check`` and ``submit``: one result, from a file or from the verifier; and options that several commands share."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from relying_party.attestation import LEEWAY_S, Attestation, Expectations
from relying_party.background_check import DEFAULT_WAIT_S, submit
from relying_party.result_board import standing_of
from relying_party.result_json import json_of
from relying_party.results import Results
from relying_party.settings import ROLE, Settings
from relying_party.terminal.table import line_of
from runtime import clock
from runtime import settings as settings_files
from runtime.keys import read_file
from runtime.mqtt import MqttSettings
from runtime.service import EXIT_FAILED, EXIT_OK
from runtime.telemetry import LEVELS
from schemas.errors import ConfigError, PeerError
from schemas.identifiers import Ueid, parse_ueid_text
from schemas.messages.passport_proof import parse_challenge

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 argparse has no public name for it

_US = 1_000_000
_DEFAULT: Final = MqttSettings()
_CHECK_EPILOG: Final = """examples:
  relying-party check result.jwt --verifier-key verifier.jwks --policy fleet/3 --max-age 120 --fresh
  relying-party check result.jwt --config relying-party.toml --challenge $(cat challenge.hex) --proof proof.cbor

Exit status: 0 affirming, 1 not, or not to be believed, 2 wrong options."""
_SUBMIT_EPILOG: Final = """examples:
  relying-party submit evidence.cbor --config relying-party.toml --ueid AWFhYWFh...
  relying-party submit evidence.cbor --verifier-key verifier.jwks --host broker.example --wait 30 --json

Exit status: 0 affirming, 1 not, or no result in time, 2 wrong options."""


def add_trust_options(command: argparse.ArgumentParser, *, broker: bool) -> None:
    """The settings file, and options that stand above what it says: the keys and, where ``broker``, the broker."""
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML: verifier_keys, [mqtt]; the options here stand above it"
    )
    command.add_argument(
        "--verifier-key", type=Path, action="append", default=[], help="public keys to believe: a PEM or JWKS file"
    )
    if broker:
        command.add_argument("--host", help=f"the broker (default: {_DEFAULT.host})")
        command.add_argument("--port", type=int, help=f"its port (default: {_DEFAULT.port})")
        command.add_argument("--root", help=f"first levels of all topics (default: {_DEFAULT.root})")
        command.add_argument("--username", help="for a broker that asks for one")
        command.add_argument("--password-file", type=Path, metavar="FILE", help="its password")
        command.add_argument("--ca-file", type=Path, metavar="PEM", help="TLS, with a broker under these certificates")
    command.add_argument("--log-level", choices=LEVELS, help="on standard error (default: warning)")


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings file, and above it what the options of :func:`add_trust_options` say.

    Raises:
        ConfigError: neither names a key, or the file or an option is wrong.
    """
    if options.config is not None:
        settings = settings_files.load(options.config, Settings, ROLE)
    elif options.verifier_key:
        settings = Settings(verifier_keys=tuple(options.verifier_key))
    else:
        raise ConfigError("--verifier-key: missing (or --config); without it no result can be believed")
    return replace(settings, **changes_by(options, settings.mqtt))


def changes_by(options: argparse.Namespace, mqtt: MqttSettings) -> dict[str, Any]:
    """What the options of :func:`add_trust_options` change in settings with these fields and this broker.

    Raises:
        ConfigError: an option is wrong.
    """
    changes: dict[str, Any] = {}
    if options.verifier_key:
        changes["verifier_keys"] = tuple(options.verifier_key)
    if options.log_level is not None:
        changes["log_level"] = options.log_level
    fields = ("host", "port", "root", "username", "password_file", "ca_file")
    given = {name: value for name in fields if (value := getattr(options, name, None)) is not None}
    if given:
        changes["mqtt"] = replace(mqtt, **given)
    return changes


def add_commands(commands: "Commands") -> None:
    """Describes both commands; each sets ``execute``."""
    check = commands.add_parser(
        "check",
        help="verify one result from a file; exit status 0 if it is affirming",
        epilog=_CHECK_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("token", type=Path, help="a JWT, a CWT, or a saved message with either")
    check.add_argument("--challenge", metavar="HEX", help="what the attester was given to answer; with --proof")
    check.add_argument("--proof", type=Path, help="its answer: attester-agent passport --challenge HEX --proof FILE")
    check.set_defaults(execute=run_check)
    hand_in = commands.add_parser(
        "submit",
        help="have evidence appraised; exit status 0 if the result is affirming",
        epilog=_SUBMIT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hand_in.add_argument("evidence", type=Path, help="a saved evidence message")
    hand_in.add_argument(
        "--wait", type=float, default=DEFAULT_WAIT_S, metavar="S", help="for the result (default: %(default)g)"
    )
    hand_in.set_defaults(execute=run_submit)
    for command in (check, hand_in):
        add_trust_options(command, broker=command is hand_in)
        command.add_argument("--ueid", help="the attester it must be about")
        command.add_argument("--policy", action="append", help="an appraisal policy that counts, as fleet/3")
        command.add_argument("--max-age", type=float, metavar="S", help="the quote is at most so old, at worst")
        command.add_argument("--fresh", action="store_true", help="refuse results that are stale, pending or the like")
        command.add_argument(
            "--leeway",
            type=float,
            default=LEEWAY_S,
            metavar="S",
            help="clocks may differ so much (default: %(default)g)",
        )
        command.add_argument("--json", action="store_true", help="as JSON")


def run_check(options: argparse.Namespace) -> int:
    """Verifies a file; prints what it says; returns the exit status.

    Raises:
        ConfigError: a file or an option is wrong.
        PeerError: the result is not to be believed, or does not meet what was asked for.
    """
    if (options.challenge is None) != (options.proof is None):
        raise ConfigError("--challenge, --proof: one is of no use without the other")
    results, ueid = _results(options, settings_of(options)), _ueid(options)
    content = read_file(options.token)
    attestation = results.verify(content, ueid=ueid)
    if options.challenge is not None:
        try:
            challenge = parse_challenge(options.challenge)
        except PeerError as error:
            raise ConfigError(f"--challenge: {error.detail}") from error
        attestation = results.verify_passport(content, challenge, read_file(options.proof))
    return _tell(attestation, as_json=options.json)


def run_submit(options: argparse.Namespace) -> int:
    """Has evidence appraised; prints the result; returns the exit status.

    Raises:
        ConfigError: a file or an option is wrong.
        PeerError, WorldError: as :func:`relying_party.background_check.submit`.
    """
    settings = settings_of(options)
    results, ueid = _results(options, settings), _ueid(options)
    attestation = submit(settings.mqtt, results, read_file(options.evidence), ueid=ueid, wait_s=options.wait)
    return _tell(attestation, as_json=options.json)


def _results(options: argparse.Namespace, settings: Settings) -> Results:
    expected = Expectations(
        policies=options.policy, max_age_s=options.max_age, fresh_only=options.fresh, leeway_s=options.leeway
    )
    return Results(settings.verifier_keys, expected)


def _ueid(options: argparse.Namespace) -> Ueid | None:
    if options.ueid is None:
        return None
    try:
        return parse_ueid_text(options.ueid)
    except PeerError as error:
        raise ConfigError(f"--ueid: {error.detail}") from error


def _tell(attestation: Attestation, *, as_json: bool) -> int:
    now_us = clock.utc_us()
    result = attestation.result
    standing = standing_of(result, min(now_us // _US, result.expires_s - 1))  # verified within the leeway
    print(json_of(standing) if as_json else line_of(standing, now_us, {}))
    return EXIT_OK if attestation.affirming else EXIT_FAILED
