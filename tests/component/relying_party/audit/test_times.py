"""``relying-party audit times`` over the audit log of a real worker, unchanged and tampered with."""

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relying_party.__main__ import main
from relying_party.audit.time_audit import PENDING, Row, TimeAudit
from runtime.audit_log.any_log import encode_frame
from schemas import media_types
from schemas.audit.entry import EvidenceEntry, ObjectEntry, encode_entry, parse_entry
from schemas.codecs import cmw
from schemas.identifiers import ueid_text
from schemas.media_types import Indicator
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.evidence import Evidence, encode_evidence
from schemas.time_model import quote_made
from schemas.topics import TopicKind
from schemas.verdicts import Tier
from tests.worlds.audited_times import DRIFT_PPM, Entries, audited, bad, entries
from tests.worlds.device import T0_US, make_endorsement
from tests.worlds.verifier import Verifying


def record(folder: Path, at_end: ExitStack) -> Verifying:
    """Three handles, each with two pushes; the second push of the first pair comes 20 s after its sync."""
    verifying = at_end.enter_context(Verifying(folder))
    for _ in range(3):
        handle = verifying.new_handle()
        verifying.pass_s(1)
        verifying.device.sync(handle)
        assert verifying.push().status is Tier.AFFIRMING
        verifying.pass_s(20)
        assert verifying.push().status is Tier.AFFIRMING
        verifying.pass_s(1)
    return verifying


@pytest.fixture(name="verifying")
def a_recorded_log(tmp_path: Path, at_end: ExitStack) -> Verifying:
    return record(tmp_path, at_end)


def places(log: Entries, kind: str) -> list[int]:
    """The places of the entries of a kind."""
    parsed = [parse_entry(raw) for _, raw in log]
    return [
        at for at, each in enumerate(parsed) if (each.kind if isinstance(each, ObjectEntry) else "evidence") == kind
    ]


def change(log: Entries, at: int, edit: Callable[[EvidenceEntry], EvidenceEntry]) -> Entries:
    """The audit log with one evidence entry edited."""
    entry = parse_entry(log[at][1])
    assert isinstance(entry, EvidenceEntry)
    return [*log[:at], (log[at][0], encode_entry(edit(entry))), *log[at + 1 :]]


def flip(raw: bytes | None, at: int) -> bytes:
    assert raw is not None
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def test_handles_and_endorsements_stand_in_front_of_the_evidence_judged_with_them(verifying: Verifying) -> None:
    log = entries(verifying)
    assert places(log, TopicKind.ENDORSEMENTS) == [0]
    assert places(log, TopicKind.HANDLES) == [1, 4, 7]
    assert places(log, "evidence") == [2, 3, 5, 6, 8, 9]


def test_an_honest_log_holds_and_bounds_every_quote_no_worse_than_the_verifier(verifying: Verifying) -> None:
    rows = audited(verifying, entries(verifying))
    assert bad(rows) == []
    assert [row.index for row in rows] == [2, 3, 5, 6, 8, 9]
    for row in rows:
        assert row.after_us is not None
        assert row.recorded_after_us is not None
        assert row.before_us is not None
        assert row.received_us is not None
        assert row.recorded_after_us <= row.after_us <= row.before_us <= row.received_us
        assert not row.pending
        assert row.received_after is not None
        assert row.handle == row.received_after.id
    assert [row.received_before.time_us if row.received_before else None for row in rows] == [
        *[T0_US + 22_000_000] * 2,
        *[T0_US + 44_000_000] * 2,
        *[None] * 2,
    ]


def test_a_later_synchronisation_narrows_an_earlier_quote(verifying: Verifying) -> None:
    """20 s after its sync the drift bound costs 2.6 s; the next sync, a second and a half later, recovers them."""
    rows = audited(verifying, entries(verifying))
    second = rows[1]
    assert second.after_us is not None
    assert second.recorded_after_us is not None
    assert second.after_us - second.recorded_after_us > 1_000_000
    last = rows[-1]
    assert last.after_us == last.recorded_after_us


def test_the_device_s_true_time_is_in_every_interval(verifying: Verifying) -> None:
    """The device pushes the moment its evidence is received."""
    for row in audited(verifying, entries(verifying)):
        assert row.after_us is not None
        assert row.before_us is not None
        assert row.received_us is not None
        assert row.after_us <= row.received_us
        assert row.received_us - row.before_us <= 2_000


@pytest.mark.parametrize("mended", [False, True])
def test_a_flipped_byte_of_evidence_is_found_also_under_a_mended_digest(verifying: Verifying, *, mended: bool) -> None:
    log = entries(verifying)

    def edit(entry: EvidenceEntry) -> EvidenceEntry:
        payload = flip(entry.payload, len(entry.payload or b"") // 2)
        digest = hashlib.sha256(payload).digest() if mended else entry.digest
        return replace(entry, payload=payload, digest=digest)

    found = bad(audited(verifying, change(log, 3, edit)))
    assert [at for at, _ in found] == [3]


def test_a_result_that_claims_more_is_found(verifying: Verifying) -> None:
    """The auditor allows clocks more drift than the verifier's policy did, so the recorded bound is too narrow."""
    log = entries(verifying)
    found = bad(audited(verifying, log[:4], drift_ppm=500_000))
    assert [at for at, _ in found] == [3]
    assert "ms above the recomputed one" in found[0][1]


def test_without_its_handle_evidence_is_pending_and_a_recorded_bound_unfounded(verifying: Verifying) -> None:
    log = entries(verifying)
    del log[1]
    rows = audited(verifying, log)
    assert [row.pending for row in rows] == [PENDING, PENDING, "", "", "", ""]
    unfounded = "the result's lower bound"  # of the first quote; the next handle bounds the second well enough
    assert [at for at, problem in bad(rows) if problem.startswith(unfounded)] == [1]
    assert [at for at, problem in bad(rows) if "names a handle before its receipt" in problem] == [1, 2]
    alone = audited(verifying, log[:3])
    assert [at for at, problem in bad(alone) if problem.endswith("nothing in the audit log supports")] == [1, 2]


def test_a_swapped_handle_is_found(verifying: Verifying) -> None:
    log = entries(verifying)
    log[1], log[4] = (log[1][0], log[4][1]), (log[4][0], log[1][1])
    rows = audited(verifying, log)
    assert rows[0].index == 2
    assert any("reordered" in problem for problem in rows[0].problems)


def test_reordered_entries_are_found(verifying: Verifying) -> None:
    log = entries(verifying)
    log[2], log[3] = (log[2][0], log[3][1]), (log[3][0], log[2][1])
    found = bad(audited(verifying, log))
    assert found[0][0] == 3
    assert "received before the previous entry" in found[0][1]


def test_a_handle_or_endorsement_by_a_stranger_is_found(
    verifying: Verifying, tmp_path: Path, at_end: ExitStack
) -> None:
    (tmp_path / "other").mkdir()
    other = record(tmp_path / "other", at_end)
    log, foreign = entries(verifying), entries(other)
    for at, code in ((0, "object-signature-invalid"), (1, "handle-signature-invalid")):
        changed = [*log[:at], foreign[at], *log[at + 1 :]]
        found = bad(audited(verifying, changed))
        assert found[0][0] == at
        assert code in found[0][1]


def test_an_endorsement_that_was_replaced_does_not_come_back(verifying: Verifying) -> None:
    log = entries(verifying)
    newer = replace(make_endorsement(verifying.device.ueid, verifying.device.public), version=2, not_after_s=1)
    raw = sign_endorsement(newer, verifying.device.raw_public, verifying.endorser)
    log[0] = (log[0][0], encode_entry(ObjectEntry(received_us=T0_US, kind=TopicKind.ENDORSEMENTS, raw=raw)))
    assert "was not valid" in bad(audited(verifying, log))[0][1]
    rolled_back = [log[0], entries(verifying)[0], *log[1:]]
    assert bad(audited(verifying, rolled_back))[0] == (1, "object-rolled-back: version 1 after version 2")


def test_garbage_is_named_by_its_place(verifying: Verifying) -> None:
    log = entries(verifying)
    log[5] = (log[5][0], b"\xff")
    assert [at for at, _ in bad(audited(verifying, log))] == [5]


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


def options(verifying: Verifying) -> list[str]:
    """The files that an auditor has."""

    def pem(name: str, key: EllipticCurvePublicKey) -> str:
        path = verifying.folder / name
        path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return str(path)

    root = verifying.folder / "tsa.pem"
    root.write_bytes(verifying.mint.authority.root.pem)
    return [
        *("audit", "times", "--audit-log", str(verifying.audit_file), "--tsa-root", str(root)),
        *("--distributor-key", pem("distributor.pub", verifying.mint.key.public_key())),
        *("--endorser-key", pem("endorser.pub", verifying.endorser.public_key())),
    ]


def test_the_command_prints_a_table(verifying: Verifying, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options(verifying)) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == [
        "ENTRY",
        "ATTESTER",
        "SEQ",
        "MADE",
        "AFTER",
        "WITHIN",
        "S",
        "RECEIVED",
        "AFTER",
        "BEFORE",
        "HOLDS",
    ]
    assert [line.split()[-1] for line in lines[1:]] == ["yes"] * 6
    assert "6 entries, 0 pending, 0 that do not hold" in err


def test_the_command_prints_json_lines_and_filters(verifying: Verifying, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*options(verifying), "--json", "--ueid", ueid_text(verifying.device.ueid)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 6
    handle = rows[0]["received_after"]
    assert rows[0]["handle"] == handle
    assert rows[0]["made_after_us"] >= rows[0]["recorded_made_after_us"] > T0_US - 1_000_000
    assert (
        main([*options(verifying), "--json", "--ueid", ueid_text(type(verifying.device.ueid)(b"\1" + bytes(32)))]) == 0
    )
    assert capsys.readouterr().out == ""


def test_the_command_names_the_first_bad_entry_and_ends_with_1(
    verifying: Verifying, capsys: pytest.CaptureFixture[str]
) -> None:
    log = change(entries(verifying), 5, lambda entry: replace(entry, payload=flip(entry.payload, 300)))
    verifying.audit_file.write_bytes(b"".join(encode_frame(number, raw) for number, raw in log))
    assert main(options(verifying)) == 1
    assert "entry 5 (number 6): malformed" in capsys.readouterr().err
    raw = verifying.audit_file.read_bytes()
    verifying.audit_file.write_bytes(flip(raw, len(raw) // 2))
    assert main(options(verifying)) == 1
    assert "damaged at offset" in capsys.readouterr().err


@pytest.mark.parametrize("cut", [0, 1], ids=["damaged", "torn"])
def test_a_name_cannot_write_a_line_of_the_answer(
    verifying: Verifying, capsys: pytest.CaptureFixture[str], cut: int
) -> None:
    """The person who hands over an audit log chooses its name."""
    raw = verifying.audit_file.read_bytes()
    log = verifying.folder / "sent\n6 entries, 0 pending, 0 that do not hold\x1b[8m\u202e"
    log.write_bytes(raw[:-cut] if cut else flip(raw, len(raw) // 2))
    arguments = options(verifying)
    arguments[arguments.index(str(verifying.audit_file))] = str(log)
    assert main(arguments) == (0 if cut else 1)
    out, err = capsys.readouterr()
    assert "sent\\n6 entries" in err
    assert [line for line in err.splitlines() if line.startswith("6 entries")] == []
    assert not set(out + err) & {"\x1b", "\u202e"}


def test_what_a_problem_quotes_cannot_write_a_line_of_the_table(
    verifying: Verifying, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A problem may quote the audit log; the first one is printed again at the end."""
    real = TimeAudit.rows

    def rows(audit: TimeAudit) -> list[Row]:
        made = real(audit)
        made[0].problems.append("media type 'x'\n1 yes\x1b[8m\u202e\x9b2J")
        return made

    monkeypatch.setattr(TimeAudit, "rows", rows)
    assert main(options(verifying)) == 1
    for told in capsys.readouterr():
        assert "'x'\\n1 yes\\x1b[8m\\u202e\\x9b2J" in told
        assert not set(told) & {"\x1b", "\u202e", "\x9b"}


def test_a_torn_tail_is_a_note(verifying: Verifying, capsys: pytest.CaptureFixture[str]) -> None:
    verifying.audit_file.write_bytes(verifying.audit_file.read_bytes()[:-1])
    assert main(options(verifying)) == 0
    assert "torn, or being written now" in capsys.readouterr().err


def test_without_an_endorser_s_key_it_says_that_signatures_are_not_verified(
    verifying: Verifying, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(verifying)[:-2]) == 0
    assert "no --endorser-key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (["--audit-log", "/nowhere/audit.log"], "--audit-log"),
        (["--tsa-root", "/nowhere/root.pem"], "--tsa-root"),
        (["--distributor-key", "/nowhere/key.pub"], "--distributor-key"),
        (["--endorser-key", "/nowhere/key.pub"], "--endorser-key"),
        (["--drift-ppm", "-1"], "--drift-ppm"),
        (["--ueid", "?"], "--ueid"),
    ],
)
def test_wrong_options_end_with_2_and_are_named(
    verifying: Verifying, capsys: pytest.CaptureFixture[str], extra: list[str], named: str
) -> None:
    assert main([*options(verifying), *extra]) == 2
    assert named in capsys.readouterr().err


def test_the_recorded_bound_is_the_model_s(verifying: Verifying) -> None:
    row = audited(verifying, entries(verifying)[:3])[0]
    assert row.received_after is not None
    made = quote_made(row.received_after.made, 2000, 2001, DRIFT_PPM)
    assert row.recorded_after_us == row.after_us == made.after_us


def two_sided(verifying: Verifying, imprint: bytes | None = None) -> Evidence:
    """The next push, with a TSA's token over its sync proof."""
    honest = verifying.device.push(elapsed_ms=1)
    token = verifying.mint.stamp(imprint or honest.body.sync_imprint, verifying.now_us)
    body = replace(honest.body, sync_stamp=token, sequence=verifying.device.sequence, previous=None)
    return verifying.device.sign(body, honest.unsigned_increments, honest.unsigned_pcrs)


def test_a_stamped_sync_proof_bounds_a_quote_from_above_however_late_it_is_received(
    tmp_path: Path, at_end: ExitStack
) -> None:
    verifying = at_end.enter_context(Verifying(tmp_path))
    verifying.device.sync(verifying.new_handle())
    made_us = verifying.now_us
    evidence = two_sided(verifying)
    verifying.pass_s(60)
    verifying.receive(evidence)
    (row,) = audited(verifying, entries(verifying))
    assert row.problems == []
    assert row.before_us is not None
    assert made_us <= row.before_us <= made_us + 2_000_000
    assert row.received_us == made_us + 60_000_000


def test_a_token_over_another_sync_proof_is_found_and_bounds_nothing(tmp_path: Path, at_end: ExitStack) -> None:
    verifying = at_end.enter_context(Verifying(tmp_path))
    verifying.device.sync(verifying.new_handle())
    evidence = two_sided(verifying, imprint=b"x" * 32)
    verifying.pass_s(60)
    payload = cmw.wrap(media_types.EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE)
    digest = hashlib.sha256(payload).digest()
    entry = EvidenceEntry(
        received_us=verifying.now_us,
        ueid=verifying.device.ueid,
        reasons=(),
        result=None,
        digest=digest,
        payload=payload,
    )
    (row,) = audited(verifying, [*entries(verifying), (9, encode_entry(entry))])
    assert [problem.partition(": ")[0] for problem in row.problems] == ["sync stamp"]
    assert row.before_us == row.received_us
