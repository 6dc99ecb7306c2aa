"""What each command of ``endorser`` does with its options, and the lines it prints."""

import argparse
from collections.abc import Callable, Iterable
from typing import Final

from endorser.commands import enrolment as enrolment_commands
from endorser.commands import signing as commands
from endorser.commands.reference_sources import run_source, show_corim
from runtime.mqtt import MqttSettings
from schemas.errors import ConfigError


def _keygen(options: argparse.Namespace) -> Iterable[str]:
    return (commands.make_key(options.out),)


def _endorse(options: argparse.Namespace) -> Iterable[str]:
    made = commands.statement(options.name, options.version, options.days)
    ueid = commands.ueid_option(options.ueid)
    commands.endorse_to_file(made, options.key, ueid, options.ak_public, options.out, options.group)
    return ()


def _enrolment(options: argparse.Namespace) -> Iterable[str]:
    return (enrolment_commands.run(options),)


def _policy(options: argparse.Namespace) -> Iterable[str]:
    made = commands.statement(options.signer, options.version, options.days)
    commands.policy_to_file(made, options.key, options.policy, options.out)
    return ()


def _corim(options: argparse.Namespace) -> Iterable[str]:
    for path in options.files:
        yield show_corim(path, options.endorser_key, as_json=options.json)


def _publish(options: argparse.Namespace) -> Iterable[str]:
    settings = MqttSettings(host=options.mqtt_host, port=options.mqtt_port, root=options.root)
    for publication in commands.publish_files(settings, options.endorser_key, options.files):
        yield f"{publication.topic}: {len(publication.payload)} bytes, retained"


def _show(options: argparse.Namespace) -> Iterable[str]:
    for path in options.files:
        yield commands.show_file(options.endorser_key, path)


def _refer(options: argparse.Namespace) -> Iterable[str]:
    if options.source is not None:
        return (run_source(options),)
    for name in ("key", "name", "out"):
        if getattr(options, name) is None:
            raise ConfigError(f"reference-values: --{name}: is required")
    made = commands.statement(options.signer, options.version, options.days)
    selection = "+".join(f"{bank}:{options.indices}" for bank in options.banks.split("+"))
    commands.refer_to_file(
        made,
        options.key,
        options.name,
        pcrs=None if options.pcrs is None else (options.pcrs, selection),
        files=commands.digests_option(options.digests, options.files),
        keys=options.ima_key,
        out=options.out,
    )
    return ()


ACTIONS: Final[dict[str, Callable[[argparse.Namespace], Iterable[str]]]] = {
    "keygen": _keygen,
    "endorse": _endorse,
    "policy": _policy,
    "reference-values": _refer,
    "corim": _corim,
    "publish": _publish,
    "show": _show,
    **dict.fromkeys(enrolment_commands.COMMANDS, _enrolment),
}
