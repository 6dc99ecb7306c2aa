"""Options of ``endorser reference-values SOURCE`` and ``endorser corim`` to calls; the text to print."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from endorser.adapters.captured import read_signed
from endorser.commands import reference_values as learning_commands
from endorser.commands import signing as commands
from endorser.core.corim_text import describe_corim, text_of
from runtime.durable import write_durable
from runtime.keys import load_public_keys
from schemas.errors import ConfigError, PeerError


def run_source(options: argparse.Namespace) -> str:
    """Runs one source.

    Raises:
        ConfigError: what the source raises.
    """
    match options.source:
        case "from-attester":
            ueid = commands.ueid_option(options.ueid)
            learned = learning_commands.from_attester(
                ueid, options.evidence, options.endorsement, options.endorser_key, options.pcrs
            )
        case "from-logs":
            learned = learning_commands.from_logs(options.tcg2, options.ima, options.pcrs)
        case "from-packages":
            learned = learning_commands.from_packages(options.root, options.deb)
        case "merge":
            text = learning_commands.merged(options.sets, options.endorser_key)
            if options.out is None:
                return text
            write_durable(options.out, f"{text}\n".encode())
            return f"{options.out}: merged from {len(options.sets)} sets"
        case "diff":
            return learning_commands.compared(options.before, options.after, options.endorser_key)
        case _:
            return _sign(options)
    return learning_commands.write_learned(learned, options.out)


def _sign(options: argparse.Namespace) -> str:
    signed = learning_commands.sign(
        commands.statement(options.signer, options.version, options.days),
        options.name,
        options.sets,
        key=options.key,
        file_keys=options.ima_key,
        overlap=learning_commands.overlap_option(options.previous, options.endorser_key, options.overlap_days),
        max_bytes=options.max_bytes,
        out=options.out,
    )
    lines = [f"{path}: {name}, {size} bytes" for name, path, size in signed]
    if len(signed) > 1:
        names = ", ".join(f'"{name}"' for name, _, _ in signed)
        lines.append(f"a policy must name all of them: reference_values = [{names}]")
    return "\n".join(lines)


def show_corim(path: Path, endorser_keys: Sequence[Path], *, as_json: bool) -> str:
    """A CoRIM for people or programs.

    Raises:
        ConfigError: it is none, or not signed by one of the keys, if any are given.
    """
    try:
        shown = describe_corim(read_signed(path), load_public_keys(endorser_keys) if endorser_keys else {})
    except PeerError as error:
        raise ConfigError(f"{path}: {error}") from error
    return json.dumps(shown, indent=2) if as_json else text_of(shown)
