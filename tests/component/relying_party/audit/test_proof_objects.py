"""The cost of reading a proof's objects is bounded, even for a hostile proof."""

import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest

from relying_party.audit import proof_policy
from relying_party.audit.proof_objects import ProofObjects
from runtime.audit_log.any_log import read_entries
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.audit.entry import LOCAL_POLICY, EvidenceEntry, ObjectEntry, encode_entry, parse_entry
from tests.fakes.attester import HandleMint
from tests.worlds.verifier import Verifying


def test_a_policy_is_read_once_for_the_clock_bound_however_many_pushes_go_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_end: ExitStack
) -> None:
    """If it were parsed for each push, a file of many pushes and one long policy would take quadratic time."""
    verifying = at_end.enter_context(Verifying(tmp_path))
    verifying.device.sync(verifying.new_handle())
    for _ in range(5):
        verifying.pass_s(1)
        verifying.push()
    entries = [raw for _, raw in read_entries(verifying.audit_file)]
    pushes = [raw for raw in entries if isinstance(parse_entry(raw), EvidenceEntry)]
    stamps = TimeStampVerifier(HandleMint().authority.root.pem)
    objects = ProofObjects(verifying.device.ueid, stamps, None, None, None)
    text = b'id = "a"\nversion = 1\ndrift_ppm = 7\n'
    objects.take(0, encode_entry(ObjectEntry(received_us=1, kind=LOCAL_POLICY, raw=text)))
    for index, push in enumerate(pushes, 1):
        objects.take(index, push)
    assert len(objects.pushes) == 5
    read: list[str] = []

    class Counting:
        TOMLDecodeError = tomllib.TOMLDecodeError

        @staticmethod
        def loads(content: str) -> dict[str, object]:
            read.append(content)
            return tomllib.loads(content)

    monkeypatch.setattr(proof_policy, "tomllib", Counting)
    assert objects.drift_ppm == 7
    assert len(read) == 1
