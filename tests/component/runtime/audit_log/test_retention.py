"""Retention: old evidence goes, its hashes and the objects it was judged by stay, and readers say what is missing."""

import hashlib
from pathlib import Path

import pytest

from relying_party.__main__ import main
from runtime.audit_log.any_log import read_entries
from runtime.audit_log.frames import encode_frame
from runtime.audit_log.retention import AuditLogRetention
from runtime.audit_log.store import AuditLogStore, FolderStore
from schemas.audit.entry import EvidenceEntry, ObjectEntry, encode_entry, parse_entry
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.tlog.merkle import leaf_hash, verify_inclusion
from schemas.topics import TopicKind
from tests.fakes.log_store import LOG_KEY, FailingStore, Killed, LogRig

DAY_US = 86_400_000_000
T0_US = 20_000 * DAY_US
COUNT = 800  # one a minute, 13 hours: bundles begin at 0:00, 4:16, 8:32, 12:48
LARGE = {5: 70_000, 10: 70_000}  # evidence, and a handle, that lie beside the tree


def entry(number: int) -> bytes:
    when_us = T0_US + number * 60_000_000
    if number % 10 == 0:
        return encode_entry(ObjectEntry(received_us=when_us, kind=TopicKind.HANDLES, raw=b"h" * LARGE.get(number, 9)))
    payload = b"e" * LARGE.get(number, 9)
    digest = hashlib.sha256(payload).digest()
    return encode_entry(
        EvidenceEntry(
            received_us=when_us, ueid=Ueid(bytes(33)), reasons=(), result=None, digest=digest, payload=payload
        )
    )


ENTRIES = [entry(number) for number in range(COUNT)]


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> LogRig:
    rig = LogRig(tmp_path)
    rig.write(ENTRIES, 700)
    return rig


def prune(rig: LogRig, hours: float, store: AuditLogStore | None = None, size: int = COUNT) -> None:
    now_us = T0_US + DAY_US + round(hours * 3_600_000_000)
    AuditLogRetention(store or FolderStore(rig.log), 1).prune(size, now_us)


def expected(first: int) -> list[tuple[int, bytes]]:
    return [(number, each) for number, each in enumerate(ENTRIES) if number >= first or number % 10 == 0]


def test_nothing_young_enough_is_given_up(rig: LogRig) -> None:
    prune(rig, 4.2)
    assert rig.reader.first_index() == 0
    AuditLogRetention(FolderStore(rig.log), 0).prune(COUNT, T0_US * 2)
    assert rig.reader.first_index() == 0


def test_old_evidence_goes_and_objects_stay(rig: LogRig, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(list((rig.log / "blob").iterdir())) == 2
    prune(rig, 9)
    reader = rig.reader
    assert reader.first_index() == 512
    assert list(read_entries(rig.log)) == expected(512)
    assert len(list((rig.log / "blob").iterdir())) == 1
    assert parse_entry(reader.entry(10)) == parse_entry(ENTRIES[10])
    with pytest.raises(PeerError, match=r"audit-pruned: .*the first entry that is left is 512"):
        reader.entry(5)
    checkpoint = rig.check_newest()
    for index in (10, 5, 600):  # everyone who kept an entry can show for ever that it was there
        verify_inclusion(
            leaf_hash(reader.leaf(index)) if index != 5 else reader.hashes(COUNT)(0, 5),
            index,
            COUNT,
            checkpoint.root,
            reader.inclusion(index, COUNT),
        )
    assert main(["audit", "fsck", str(rig.log), "--log-key", LOG_KEY.text]) == 0
    assert "pruned: the first entry that is left is 512" in capsys.readouterr().out


def test_a_pruned_log_goes_on(rig: LogRig) -> None:
    prune(rig, 9)
    rig.open()
    rig.append([b"next"], COUNT + 1)
    rig.run()
    assert [number for number, _ in read_entries(rig.log)][-1] == COUNT
    rig.close()


@pytest.mark.parametrize("lost", [0, 3])
def test_a_journal_older_than_what_was_pruned_does_not_mind(rig: LogRig, lost: int) -> None:
    """A slow log: its journal has one segment from the beginning, and evidence in it was given up meanwhile."""
    (path,) = (rig.log / "journal").iterdir()
    path.rename(path.with_name(f"{0:020}-{0:020}.frames"))
    frames = [encode_frame(number, each) for number, each in enumerate(ENTRIES[: COUNT - lost], 1)]
    (rig.log / "journal" / f"{0:020}-{0:020}.frames").write_bytes(b"".join(frames))
    prune(rig, 9)
    rig.open()
    rig.append([b"next"], COUNT + 1)
    rig.run()
    rig.close()
    rig.open()
    rig.close()
    assert list(read_entries(rig.log)) == [*expected(512), (COUNT, b"next")]
    assert main(["audit", "fsck", str(rig.log), "--log-key", LOG_KEY.text]) == 0


def test_what_is_not_published_is_not_given_up(rig: LogRig) -> None:
    prune(rig, 100, size=300)
    assert rig.reader.first_index() == 256


def test_a_kept_object_that_was_changed_is_found(rig: LogRig, capsys: pytest.CaptureFixture[str]) -> None:
    prune(rig, 9)
    path = rig.log / "kept" / "001"
    path.write_bytes(path.read_bytes().replace(b"hhh", b"hhX", 1))
    assert main(["audit", "fsck", str(rig.log), "--log-key", LOG_KEY.text]) == 1
    assert "entry 260: audit-log-altered: not the object that was hashed" in capsys.readouterr().out


@pytest.mark.parametrize("after", [False, True])
def test_wherever_pruning_is_killed_nothing_is_missed(tmp_path: Path, *, after: bool) -> None:
    counted = LogRig(tmp_path)
    counted.write(ENTRIES)
    for fail_at in range(1, 40):
        store = FailingStore(FolderStore(counted.log), fail_at, after=after)
        try:
            prune(counted, 9, store)
        except Killed:
            first = counted.reader.first_index()
            assert list(read_entries(counted.log)) == expected(first)
        else:
            break
    else:
        pytest.fail("never done")
    prune(counted, 9)
    assert list(read_entries(counted.log)) == expected(512)
    assert not (counted.log / "tile" / "entries" / "000").exists()
    assert not (counted.log / "tile" / "entries" / "001").exists()
