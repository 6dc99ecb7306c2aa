"""``attester-agent show``: prints an evidence message for people. Verifies nothing."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.keys import read_file
from schemas.codecs import cmw
from schemas.errors import PeerError
from schemas.identifiers import ueid_text
from schemas.media_types import EVIDENCE, Indicator
from schemas.messages.evidence import Evidence, parse_evidence
from schemas.tpm.attest import QuoteInfo, parse_attest
from schemas.tpm.pcr import selection_text

if TYPE_CHECKING:
    from runtime.command_line import Parsers


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("show", help="print an evidence message for people; verifies nothing")
    parser.add_argument("file", type=Path, help="an MQTT payload saved to a file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the message.

    Raises:
        ConfigError: the file cannot be read.
        PeerError: it is not evidence.
    """
    payload = read_file(arguments.file)
    evidence = parse_evidence(cmw.unwrap(payload, EVIDENCE, Indicator.EVIDENCE))
    for line in _describe(evidence, len(payload)):
        print(line)


def _describe(evidence: Evidence, size: int) -> Iterator[str]:
    body = evidence.body
    yield f"evidence of {size} bytes, NOT VERIFIED"
    yield f"ueid         {ueid_text(body.ueid)}"
    yield f"key          {body.environment.hex()}"
    yield f"sequence     {body.sequence} ({'full' if body.previous is None else 'delta'})"
    if body.previous is not None:
        yield f"previous     {body.previous.hex()}"
    yield f"body digest  {evidence.body_digest.hex()}"
    for name, raw in (("sync", body.sync.attest), ("quote", evidence.quote)):
        try:
            attest = parse_attest(raw)
        except PeerError as error:
            yield f"{name:12} {error}"
            continue
        clock = attest.clock_info
        yield (
            f"{name:12} {attest.type.name.lower()} at {clock.clock} ms, boot {clock.reset_count}, "
            f"wake {clock.restart_count}, safe {clock.safe}, about {attest.extra_data.hex()}"
        )
        if name == "quote" and isinstance(attest.attested, QuoteInfo):
            yield f"pcrs         {selection_text(attest.attested.pcr_selection)} = {attest.attested.pcr_digest.hex()}"
    if body.sync_stamp is not None:
        yield f"sync stamp   {len(body.sync_stamp)} bytes, over {body.sync_imprint.hex()}"
    for each in body.transitions:
        yield (
            f"transition   {each.kind.name.lower()} before {each.clock_ms} ms, boot {each.reset_count}, "
            f"wake {each.restart_count}"
        )
    yield from (f"claim        {name} = {value!r}" for name, value in sorted(body.claims.items()))
    for bank, values in evidence.unsigned_pcrs.items():
        yield from (f"pcr          {bank.name}:{index} = {digest.hex()}" for index, digest in values.items())
    for name, start in body.logs.items():
        increment = evidence.unsigned_increments.get(name)
        beyond = "nothing new" if increment is None else f"{len(increment.records)} bytes, up to {increment.total}"
        yield f"log          {name} from entry {start}: {beyond}"
