"""Writes a run as a fixture: the broker's messages, the keys that signed them, and the steps of the run.

A folder holds

* ``messages.cbor``: an array of ``[topic, time of receipt (UTC µs), payload]``: handles, the endorsement, all evidence
  of all boots (with quotes, sync proofs, boot logs, IMA lists), in the order of receipt;
* ``golden.corim``: the reference values, without the files of the image that never ran;
* ``policy.toml``, ``endorser.pub``, ``distributor.pub``, ``tsa-root.pem``: the verifier's policy and trusted keys;
* ``acts.json``: each step, the verifier's result, and the number of messages received by then;
* ``boot-log.bin``, ``ima-list.bin``: the first baseline's logs, for themselves.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.demo.embedded_tsa import ROOT_FILE
from deploy.demo.layout import RunDirectory
from deploy.vm.outside import GOLDEN, Heard, Outside, parse_push
from deploy.vm.scenario import Report
from runtime.keys import load_public_keys, load_signing_key
from schemas.codecs import cbor
from schemas.messages.reference_values import sign_reference_values, verify_reference_values
from schemas.replay.log_replay import IMA, TCG2
from schemas.topics import TopicKind

_KEPT: Final = frozenset({TopicKind.HANDLES, TopicKind.ENDORSEMENTS, TopicKind.EVIDENCE})


def write_recording(folder: Path, outside: Outside, run: RunDirectory, report: Report) -> None:
    """Writes the fixture; replaces files that are in the folder already."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = [each for each in outside.heard if outside.kind(each) in _KEPT]
    (folder / "messages.cbor").write_bytes(cbor.encode([[each.topic, each.received_us, each.payload] for each in kept]))
    pushes = [each for each in kept if outside.kind(each) is TopicKind.EVIDENCE]
    (folder / f"{GOLDEN}.corim").write_bytes(_trimmed(run, pushes))
    first = parse_push(pushes[0])
    for name, file in ((TCG2, "boot-log.bin"), (IMA, "ima-list.bin")):
        (folder / file).write_bytes(first.unsigned_increments[name].records)
    for source in (
        run.verifier / "policy.toml",
        run.public_key("endorser"),
        run.public_key("distributor"),
        run.tsa / ROOT_FILE,
    ):
        shutil.copyfile(source, folder / source.name)
    acts = []
    for observation in report.observations:
        count = sum(outside.kind(each) in _KEPT for each in outside.heard[: observation.heard])
        acts.append({"act": observation.name, "seen": observation.seen, "messages": count})
    (folder / "acts.json").write_text(json.dumps(acts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _trimmed(run: RunDirectory, pushes: Iterable[Heard]) -> bytes:
    """The reference values with only those files that an IMA list of the recording names."""
    raw = (run.signed / f"{GOLDEN}.corim").read_bytes()
    values = verify_reference_values(raw, load_public_keys([run.public_key("endorser")]))
    lists = b"".join(
        increment.records
        for push in pushes
        for name, increment in parse_push(push).unsigned_increments.items()
        if name == IMA
    )
    files = {digest: path for digest, path in values.files.items() if digest in lists}
    return sign_reference_values(replace(values, files=files), load_signing_key(run.private_key("endorser")))
