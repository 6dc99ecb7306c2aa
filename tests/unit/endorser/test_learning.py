"""Reference values learned from a device: only from what its quote binds; and from logs and packages."""

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from endorser.__main__ import main
from endorser.adapters.captured_evidence import read_evidence
from endorser.adapters.debian_packages import deb_files, installed_files
from endorser.core.learning import Learned, learn_from_logs, learn_from_pushes
from endorser.core.working_set import parse
from runtime.audit_log import recorded_messages
from runtime.audit_log.frames import FrameFile
from runtime.progress import Progress
from schemas import media_types
from schemas.audit.entry import EvidenceEntry, encode_entry
from schemas.codecs import cmw, cose
from schemas.errors import ConfigError
from schemas.hashes import SHA256
from schemas.media_types import Indicator
from schemas.messages.evidence import Evidence, LogIncrement, encode_evidence, parse_evidence
from schemas.messages.reference_values import sign_reference_values, verify_reference_values
from schemas.reasons import Reason
from schemas.replay.log_replay import IMA, TCG2
from schemas.tpm.pcr import parse_selection_text
from schemas.verdicts import Tier
from tests.builders.log_bytes import EV_NO_ACTION, FIRMWARE, agile_event, ima_record
from tests.worlds.device import (
    T0_US,
    FakeDevice,
    make_endorsement,
    make_handle,
    make_references,
    make_trust,
)
from verifier_worker.core.result_builder import build_result
from verifier_worker.core.step import step

PCRS = parse_selection_text("sha256:0-9")


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


class Golden:
    """A device, and what somebody has kept of its pushes."""

    def __init__(self) -> None:
        self.device = FakeDevice()
        self.device.sync(make_handle())
        self.device.run(b"/usr/bin/one", b"1")
        self.pushes = [self.device.push()]
        self.device.run(b"/usr/bin/two", b"2")
        self.device.measure_file("cel/app", "/etc/app.conf", b"conf", index=9)
        self.pushes.append(self.device.push())
        self.device.run(b"/usr/bin/three", b"3")
        self.pushes.append(self.device.push())

    def learn(self, pushes: list[Evidence] | None = None) -> Learned:
        endorsement = make_endorsement(self.device.ueid, self.device.public)
        return learn_from_pushes(endorsement, self.pushes if pushes is None else pushes, PCRS)


@pytest.fixture
def golden() -> Golden:
    """Three pushes of one boot."""
    return Golden()


def test_pcrs_and_files_are_learned_from_what_the_quote_binds(golden: Golden) -> None:
    learned = golden.learn()
    assert learned.values.registers == {SHA256: {index: frozenset({golden.device.pcrs[index]}) for index in range(10)}}
    assert learned.values.files == {
        digest(b"1"): "/usr/bin/one",
        digest(b"2"): "/usr/bin/two",
        digest(b"3"): "/usr/bin/three",
        digest(b"conf"): "/etc/app.conf (cel/app)",
    }
    assert golden.device.ueid.hex() in learned.remarks[0]


def test_the_order_of_files_and_evidence_of_others_do_not_matter(golden: Golden) -> None:
    other = Golden()
    other.device.label = b"other"
    stranger = FakeDevice(label=b"stranger")
    stranger.sync(make_handle())
    stranger.run(b"/evil", b"evil")
    assert golden.learn([stranger.push(), *golden.pushes[::-1], golden.pushes[0]]).values == golden.learn().values


def test_only_the_last_boot_counts(golden: Golden) -> None:
    golden.device.reboot()
    golden.device.sync(make_handle())
    golden.pushes.append(golden.device.push())
    assert golden.learn().values.files == {}


def altered(push: Evidence, records: bytes) -> Evidence:
    """With another IMA increment: each party that carries the push can do that."""
    increments = {**push.unsigned_increments, IMA: LogIncrement(records=records, total=99)}
    return replace(push, unsigned_increments=increments)


def sent(push: Evidence) -> Evidence:
    """As it arrives."""
    return parse_evidence(encode_evidence(push))


def evil() -> bytes:
    return ima_record(b"ima-ng", b"sha256:\0" + digest(b"evil"), b"/evil\0")


def test_one_changed_byte_of_one_file_shows_as_its_path_in_the_next_result(golden: Golden) -> None:
    """From a golden device to another one's result, by way of the signed object."""
    learned = golden.learn().values
    device, handle = FakeDevice(label=b"another"), make_handle()
    values = make_references(golden.device, registers=learned.registers, files=learned.files)
    key = golden.device.key
    verified = verify_reference_values(
        sign_reference_values(values, key), {cose.key_id(key.public_key()): key.public_key()}
    )
    registers = {SHA256: {index: found for index, found in verified.registers[SHA256].items() if index < 9}}
    trust = make_trust(device, handles=(handle,), references=(replace(verified, registers=registers),))
    device.sync(handle)
    device.run(b"/usr/bin/one", b"1")
    first = step(None, device.ueid, sent(device.push()), T0_US + 1_000_000, trust)
    assert first.state is not None
    assert [str(finding.reason) for finding in first.findings if finding.reason is Reason.FILE_UNEXPECTED] == []
    device.run(b"/usr/bin/two", bytes([b"2"[0] ^ 0x80]))
    device.run(b"/usr/bin/three", b"3")
    second = step(first.state, device.ueid, sent(device.push()), T0_US + 2_000_000, trust)
    assert second.state is not None
    built = build_result(
        device.ueid, second.state, second.findings, T0_US + 2_000_000, "v", policy=trust.policy, handle=handle
    )
    assert (built.unexpected, built.status) == (("/usr/bin/two",), Tier.CONTRAINDICATED)


def test_evidence_is_read_from_an_audit_log_and_from_directories(golden: Golden, tmp_path: Path) -> None:
    messages = [cmw.wrap(media_types.EVIDENCE, encode_evidence(push), Indicator.EVIDENCE) for push in golden.pushes]
    log = FrameFile(tmp_path / "audit.log")
    entries = [
        encode_entry(
            EvidenceEntry(
                received_us=1, ueid=golden.device.ueid, reasons=(), result=None, digest=bytes(32), payload=raw
            )
        )
        for raw in [*messages, None]
    ]
    log.append(list(enumerate(entries, 1)))
    log.close()
    (tmp_path / "kept").mkdir()
    for number, raw in enumerate(messages):
        (tmp_path / "kept" / f"{number}.bin").write_bytes(raw)
    (tmp_path / "kept" / "notes.txt").write_text("golden device, rack 7")
    for path in (tmp_path / "audit.log", tmp_path / "kept"):
        assert golden.learn(list(read_evidence([path]))).values == golden.learn().values
    with pytest.raises(ConfigError, match="not an audit log"):
        list(read_evidence([tmp_path / "kept" / "notes.txt"]))


def test_an_audit_log_longer_than_a_message_is_not_read_as_one(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of years is longer than memory."""
    raw = cmw.wrap(media_types.EVIDENCE, encode_evidence(golden.pushes[0]), Indicator.EVIDENCE)
    log = FrameFile(tmp_path / "audit.log")
    log.append(
        [
            (
                1,
                encode_entry(
                    EvidenceEntry(
                        received_us=1, ueid=golden.device.ueid, reasons=(), result=None, digest=bytes(32), payload=raw
                    )
                ),
            )
        ]
    )
    log.close()
    monkeypatch.setattr(recorded_messages, "MAX_REFERENCE_VALUES_BYTES", len(raw))
    monkeypatch.delattr(recorded_messages, "read_file")
    assert len(list(recorded_messages.read_captured(tmp_path / "audit.log"))) == 1
    with pytest.raises(ConfigError, match="No such file"):
        list(recorded_messages.read_captured(tmp_path / "missing"))


@pytest.mark.parametrize("number", range(3))
def test_nothing_is_learned_where_the_logs_do_not_reproduce_the_quote(golden: Golden, number: int) -> None:
    golden.pushes[number] = altered(golden.pushes[number], evil())
    with pytest.raises(ConfigError, match=r"do not reproduce|are missing"):
        golden.learn()


def test_what_was_added_beyond_the_quote_is_not_learned(golden: Golden) -> None:
    last = golden.pushes[-1]
    golden.pushes[-1] = altered(last, last.unsigned_increments[IMA].records + evil())
    assert digest(b"evil") not in golden.learn().values.files


def test_nothing_is_learned_from_another_key(golden: Golden) -> None:
    endorsement = make_endorsement(golden.device.ueid, FakeDevice().public)
    with pytest.raises(ConfigError, match="no evidence by the endorsed key"):
        learn_from_pushes(endorsement, golden.pushes, PCRS)


def test_a_missing_part_is_named(golden: Golden) -> None:
    with pytest.raises(ConfigError, match="are missing; capture from a baseline on"):
        golden.learn(golden.pushes[1:])


def test_pcrs_that_are_not_quoted_are_not_learned(golden: Golden) -> None:
    endorsement = make_endorsement(golden.device.ueid, golden.device.public)
    with pytest.raises(ConfigError, match="sha256:11"):
        learn_from_pushes(endorsement, golden.pushes, parse_selection_text("sha256:0-11"))


@pytest.mark.parametrize(
    ("pcrs", "extended", "refused"),
    [
        ("sha256:0-9", (), True),
        ("sha256:0-9", (7,), True),  # the firmware's version is always in PCR 0
        ("sha256:0-9", (0,), False),
        ("sha256:4,7", (), True),
        ("sha256:4,7", (7,), False),
        ("sha256:4,7", (0,), True),
        ("sha256:8,9", (), False),
    ],
)
def test_nothing_is_learned_from_a_bank_that_the_firmware_leaves_alone(
    pcrs: str, extended: tuple[int, ...], *, refused: bool
) -> None:
    """Its zeros are those of every device, and anybody can extend it."""
    device = FakeDevice()
    device.pcrs.update({index: bytes(32) for index in range(11)})
    device.boot_log, device.ima_list = device.boot_log[:1], []
    for index in extended:
        device.measure_boot(index, b"firmware")
    device.run(b"/usr/bin/one", b"1")
    device.sync(make_handle())
    endorsement = make_endorsement(device.ueid, device.public)
    pushes = [device.push()]
    if refused:
        with pytest.raises(ConfigError, match="extended nothing in bank sha256"):
            learn_from_pushes(endorsement, pushes, parse_selection_text(pcrs))
    else:
        assert learn_from_pushes(endorsement, pushes, parse_selection_text(pcrs)).values.registers


def test_a_locality_of_startup_is_no_measurement(golden: Golden) -> None:
    """PCR 0 may begin with 3 or 4; without an event after that, anybody can state it."""
    device = golden.device
    device.pcrs.update({index: bytes(32) for index in range(11)})
    device.pcrs[0] = b"\3".rjust(32, b"\0")
    stated = agile_event(0, EV_NO_ACTION, {SHA256.tpm_id: bytes(32)}, b"StartupLocality\0\3")
    device.boot_log, device.ima_list, device.cel_logs = [device.boot_log[0], stated], [], {}
    device.run(b"/usr/bin/one", b"1")
    device.sent, device.previous, device.sequence = {}, None, 9
    with pytest.raises(ConfigError, match="extended nothing in bank sha256"):
        golden.learn([device.push()])


def test_a_pcr_that_can_be_reset_is_learned_with_a_remark(golden: Golden) -> None:
    golden.device.selection = parse_selection_text("sha256:0-10,16")
    golden.device.sent, golden.device.previous = {}, None
    golden.pushes.append(golden.device.push())
    endorsement = make_endorsement(golden.device.ueid, golden.device.public)
    learned = learn_from_pushes(endorsement, golden.pushes[-1:], parse_selection_text("sha256:0-9,16"))
    assert "PCR 16 can be reset while the TPM runs: its value shows no history" in learned.remarks
    assert not any("can be reset" in remark for remark in golden.learn(golden.pushes[:-1]).remarks)


def test_violations_and_other_templates_are_left_out(golden: Golden) -> None:
    golden.device.measure_record(ima_record(b"d-ng|n-ng", b"sha256:\0" + digest(b"custom"), b"/custom\0"))
    golden.pushes.append(golden.device.push())
    learned = golden.learn()
    assert digest(b"custom") not in learned.values.files
    assert "1 entries were left out" in learned.remarks[-1]


def test_a_recorded_boot_is_learned_from_its_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recorded PCRs are those that the logs of that boot lead to."""
    logs = [str(FIRMWARE / "binary_bios_measurements"), str(FIRMWARE / "binary_runtime_measurements")]
    out = tmp_path / "golden.txt"
    assert main(["reference-values", "from-logs", "--tcg2", logs[0], "--ima", logs[1], "--out", str(out)]) == 0
    assert "10 PCRs" in capsys.readouterr().out
    learned = parse(out.read_text(), "golden.txt")
    recorded = (FIRMWARE / "pcrs.txt").read_text().split()
    values = {int(index): value for bank, index, value in zip(*[iter(recorded)] * 3, strict=True) if bank == "sha256"}
    assert {index: min(found).hex().upper() for index, found in learned.registers[SHA256].items()} == {
        index: values[index].upper() for index in range(10)
    }
    assert all("boot_aggregate" not in path for path in learned.files.values())
    assert learned.files
    assert out.read_text().startswith("# learned from ima and tcg2 log files: no quote vouches for them\n")


def test_a_boot_log_alone_has_no_files() -> None:
    learned = learn_from_logs({TCG2: (FIRMWARE / "binary_bios_measurements").read_bytes()}, PCRS)
    assert len(learned.values.registers[SHA256]) == 10
    assert learned.values.files == {}


def deb(members: dict[str, bytes], kind: str = "xz") -> bytes:
    """A package as deb(5) says."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=f"w:{kind}") as data:  # type: ignore[call-overload]  # of a text
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            data.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("./usr/bin/link")
        link.type, link.linkname = tarfile.SYMTYPE, "two"
        data.addfile(link)
    raw = b"!<arch>\n"
    for name, content in (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"odd"),
        (f"data.tar.{kind}", archive.getvalue()),
    ):
        head = f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}".encode() + b"`\n"
        raw += head + content + b"\n" * (len(content) % 2)
    return raw


@pytest.mark.parametrize("kind", ["xz", "gz", "bz2"])
def test_the_files_of_a_package_are_measured_without_installing_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(deb({"./usr/bin/one": b"1", "./usr/bin/two": b"2"}, kind))
    assert deb_files(path, Progress("files")) == {digest(b"1"): "/usr/bin/one", digest(b"2"): "/usr/bin/two"}


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[:200],
        lambda raw: raw[:-100],
        lambda raw: raw.replace(b".xz", b".zst"),
        lambda raw: raw[:56] + b"-60       " + raw[66:],  # a member of less than nothing, after which it comes again
    ],
)
def test_a_package_that_cannot_be_read_is_named(tmp_path: Path, change: object) -> None:
    path = tmp_path / "odd.deb"
    path.write_bytes(change(deb({"./usr/bin/one": b"1" * 1000})))  # type: ignore[operator]
    with pytest.raises(ConfigError, match=r"odd\.deb"):
        deb_files(path, Progress("files"))


def test_installed_files_are_measured_inside_their_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for each in (root / "var/lib/dpkg/info", root / "usr/bin", outside):
        each.mkdir(parents=True)
    (root / "usr/bin/one").write_bytes(b"1")
    (root / "usr/bin/link").symlink_to("one")
    (root / "bin").symlink_to("usr/bin")
    (root / "out").symlink_to(outside)
    (outside / "secret").write_bytes(b"of another machine")
    names = "/.\n/usr\n/usr/bin\n/bin/one\n/usr/bin/link\n/usr/bin/gone\n/out/secret\n"
    (root / "var/lib/dpkg/info/x.list").write_text(names)
    assert installed_files(root, Progress("files")) == {digest(b"1"): "/bin/one"}
