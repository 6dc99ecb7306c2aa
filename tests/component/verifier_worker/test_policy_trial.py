"""``verifier-worker appraise`` over the audit log of a real worker: which verdicts another policy would change."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from runtime.audit_log.any_log import encode_frame, read_entries
from schemas.audit.entry import START, ObjectEntry, encode_entry
from schemas.hashes import SHA256
from schemas.messages.reference_values import sign_reference_values
from schemas.messages.trust_objects import TRUST_OBJECTS
from schemas.topics import TopicKind
from schemas.verdicts import Tier
from tests.builders.damage import flipped
from tests.worlds.device import make_references
from tests.worlds.verifier import Verifying
from verifier_worker.__main__ import main

SETTINGS = """\
name = "v1"
signing_key = "verifier.key"
database = "state.db"
audit_log = "audit.log"
[trust]
endorser_keys = ["endorser.pub"]
distributor_keys = ["distributor.pub"]
tsa_roots = ["tsa.pem"]
"""
POLICY = """\
id = "tried"
pcrs = "sha256:0-10"
reference_values = ["good"]
deadline_s = 10
[logs]
tcg2 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
ima = [10]
[ima]
agent = []
"""
ODD = b"/opt/odd"


def pem(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Recorded:
    """Three pushes: good, good, and one after an unexpected file; with the settings to read them back."""

    def __init__(self, folder: Path, recorded: frozenset[str]) -> None:
        self.verifying = verifying = Verifying(folder, recorded=recorded)
        self.folder = folder
        verifying.device.sync(verifying.new_handle())
        for step in range(3):
            verifying.pass_s(1)
            if step == 2:
                verifying.device.run(ODD, b"odd")
            verifying.push()
        assert [result.status for result in verifying.results] == [Tier.AFFIRMING] * 2 + [Tier.CONTRAINDICATED]
        verifying.audit.close()
        (folder / "endorser.pub").write_bytes(pem(verifying.endorser.public_key()))
        (folder / "distributor.pub").write_bytes(pem(verifying.mint.key.public_key()))
        (folder / "tsa.pem").write_bytes(verifying.mint.authority.root.pem)
        private = verifying.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "verifier.key").write_bytes(private)
        (folder / "verifier.toml").write_text(SETTINGS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.verifying.store.close()

    def appraise(self, policy: str, *more: str, evidence: str = "audit.log") -> int:
        (self.folder / "tried.toml").write_text(policy)
        files = {"--config": "verifier.toml", "--policy": "tried.toml", "--evidence": evidence}
        options = [part for name, file in files.items() for part in (name, str(self.folder / file))]
        return main(["appraise", *options, *more])

    def keep(self, numbers: Sequence[int], *, torn: bytes = b"") -> None:
        """Writes ``part.log``, which holds only some entries."""
        kept = [encode_frame(*each) for each in read_entries(self.verifying.audit_file) if each[0] in numbers]
        (self.folder / "part.log").write_bytes(b"".join(kept) + torn)

    def references(self, **changes: object) -> str:
        """A file of signed reference values; its name."""
        values = replace(make_references(self.verifying.device), **changes)  # type: ignore[arg-type]  # fields by name
        path = self.folder / "new.reference-values"
        path.write_bytes(sign_reference_values(values, self.verifying.endorser))
        return str(path)


@pytest.fixture
def recorded(tmp_path: Path, at_end: ExitStack) -> Recorded:
    return at_end.enter_context(Recorded(tmp_path, frozenset(TRUST_OBJECTS)))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_the_same_demands_change_nothing(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert recorded.appraise(POLICY) == 0
    assert lines(capsys) == ["policy tried/0: 3 pushes of 1 attesters", "  0 verdicts of 0 attesters would change"]


def test_entries_that_nobody_signs_are_no_problem(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    start = encode_entry(ObjectEntry(received_us=1, kind=START, raw=b""))
    entries = [start, *(raw for _, raw in read_entries(recorded.verifying.audit_file))]
    (recorded.folder / "part.log").write_bytes(b"".join(encode_frame(*each) for each in enumerate(entries, 1)))
    assert recorded.appraise(POLICY, evidence="part.log") == 0
    assert lines(capsys) == ["policy tried/0: 3 pushes of 1 attesters", "  0 verdicts of 0 attesters would change"]


def test_what_would_change_is_told_with_its_reasons_and_its_paths(
    recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    before = recorded.verifying.audit_file.read_bytes()
    rule = "[[rules]]\nname = 'always'\nwhen = 'true'\nthen = 'warning'\n"
    assert recorded.appraise(f"{POLICY}[weights]\nfile-unexpected = 'warning'\n{rule}") == 0
    told = lines(capsys)
    assert told[0].endswith(": affirming -> warning policy-rule")
    assert told[1].strip() == "always"
    assert told[2].endswith(": contraindicated file-unexpected -> warning file-unexpected,policy-rule")
    assert told[3].strip() == f"{ODD.decode()}, always"
    assert told[4:] == [
        "policy tried/0: 3 pushes of 1 attesters",
        "  affirming -> warning: 2 pushes",
        "  contraindicated -> warning: 1 pushes",
        "  3 verdicts of 1 attesters would change",
    ]
    assert recorded.verifying.audit_file.read_bytes() == before


def test_as_json_there_is_a_line_for_each_push(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert recorded.appraise(f"{POLICY}exclude = ['/opt/*']\n", "--json") == 0
    pushes = [json.loads(line) for line in lines(capsys)]
    assert [(each["recorded"]["status"], each["tried"]["status"], each["differs"]) for each in pushes] == [
        ("affirming", "affirming", False),
        ("affirming", "affirming", False),
        ("contraindicated", "affirming", True),
    ]
    assert pushes[2]["recorded"] == {
        "status": "contraindicated",
        "reasons": ["file-unexpected"],
        "details": [ODD.decode()],
    }


@pytest.mark.parametrize("torn", [b"\x00", encode_frame(99, b"entry")[:-1]])
def test_a_torn_log_is_read_as_far_as_it_is_whole(
    recorded: Recorded, capsys: pytest.CaptureFixture[str], torn: bytes
) -> None:
    recorded.keep(range(1, 100), torn=torn)
    assert recorded.appraise(POLICY, evidence="part.log") == 0
    assert lines(capsys)[0] == "policy tried/0: 3 pushes of 1 attesters"


def test_what_is_no_log_is_refused(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert recorded.appraise(POLICY, evidence="tried.toml") == 2
    assert "not an audit log" in capsys.readouterr().err


def test_a_policy_for_others_has_nothing_to_judge(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert recorded.appraise(f"groups = ['elsewhere']\n{POLICY}") == 0
    assert "  nothing compared: no evidence, or no attester of its groups" in lines(capsys)


def test_what_comes_before_the_first_baseline_is_not_compared(
    recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log that was moved away begins with what is in force, and then with deltas."""
    numbers = [number for number, _ in read_entries(recorded.verifying.audit_file)]
    recorded.keep([number for number in numbers if number != numbers[-3]])  # of three pushes the first, a baseline
    assert recorded.appraise(POLICY, evidence="part.log") == 0
    assert lines(capsys) == [
        "policy tried/0: 2 pushes of 1 attesters",
        "  2 not compared: the log does not hold what came before them",
        "  0 verdicts of 0 attesters would change",
    ]


def test_reference_values_to_come_are_tried_on_evidence_older_than_they_are(
    recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were signed after all of it; the older version in the log does not replace them."""
    files = {**make_references(recorded.verifying.device).files, SHA256.digest(b"odd"): ODD.decode()}
    path = recorded.references(version=2, not_before_s=2**39, files=files)
    assert recorded.appraise(POLICY, "--reference-values", path) == 0
    told = lines(capsys)
    assert "  contraindicated -> affirming: 1 pushes" in told
    assert not [line for line in told if line.startswith("not trusted")]


def test_without_any_reference_values_all_is_undecided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at_end: ExitStack
) -> None:
    recorded = at_end.enter_context(Recorded(tmp_path, frozenset(TRUST_OBJECTS) - {TopicKind.REFERENCE_VALUES}))
    assert recorded.appraise(POLICY) == 0
    told = lines(capsys)
    assert any("-> none reference-values-missing" in line for line in told)
    assert "  affirming -> none: 2 pushes" in told


def test_reference_values_of_a_stranger_are_refused(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(recorded.references(version=2))
    path.write_bytes(flipped(path.read_bytes()))
    assert recorded.appraise(POLICY, "--reference-values", str(path)) == 2
    assert "object-signature-invalid" in capsys.readouterr().err


def test_an_object_that_is_not_trusted_is_named(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    (recorded.folder / "distributor.pub").write_bytes(pem(recorded.verifying.endorser.public_key()))
    assert recorded.appraise(POLICY) == 0
    assert any(f"{TopicKind.HANDLES}: handle-signature-invalid" in line for line in lines(capsys))


def test_a_bad_policy_is_named_by_its_file(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert recorded.appraise(POLICY.replace("[logs]", "[[rules]]\nname = 'r'\nwhen = 'age > 1'\n[logs]")) == 2
    told = capsys.readouterr().err
    assert "tried.toml: policy 'tried': rules[0] 'r': when: line 1, column 1: undeclared reference to 'age'" in told
