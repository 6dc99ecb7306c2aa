"""The audit log's sequencer, killed at every one of its operations: nothing lost, nothing doubled, one history."""

import shutil
from pathlib import Path

import pytest

from runtime.audit_log.any_log import read_entries
from runtime.audit_log.journal import Journal, JournalCursor, segments
from runtime.audit_log.sequencer import Sequencer
from runtime.audit_log.signer import AuditLogSigner
from runtime.audit_log.store import FolderStore
from schemas.errors import ConfigError, WorldError
from tests.fakes.log_store import KEY, ORIGIN, FailingStore, Killed, LogRig, made_entries

BASE, MORE = 250, 12  # across the end of a tile, so that partial ones are left behind
ENTRIES = made_entries(BASE + MORE + 5, large=(BASE + 2, BASE + 9))


def written(folder: Path) -> LogRig:
    rig = LogRig(folder)
    rig.write(ENTRIES[:BASE], 3, 100)
    return rig


def operations(folder: Path) -> int:
    rig = LogRig(folder)
    store = FailingStore(FolderStore(rig.log), -1, after=False)
    go_on(rig, store)
    rig.close()
    return store.done


def go_on(rig: LogRig, store: FailingStore) -> None:
    rig.open(store)
    rig.append(ENTRIES[BASE : BASE + MORE], BASE + 1)
    rig.run()


@pytest.mark.parametrize(("after", "killed"), [(False, True), (True, True), (True, False)])
def test_wherever_the_sequencer_is_killed_there_is_one_history(tmp_path: Path, *, after: bool, killed: bool) -> None:
    (tmp_path / "base").mkdir()
    written(tmp_path / "base")
    shutil.copytree(tmp_path / "base", tmp_path / "counted")
    count = operations(tmp_path / "counted")
    assert count > 15
    for fail_at in range(1, count + 1):
        folder = tmp_path / str(fail_at)
        shutil.copytree(tmp_path / "base", folder)
        rig = LogRig(folder)
        with pytest.raises((Killed, WorldError)):
            go_on(rig, FailingStore(FolderStore(rig.log), fail_at, after=after, killed=killed))
        if not killed and rig.sequencer is not None:
            rig.run()  # a failure is not a kill: the same sequencer tries again
            assert rig.check(ENTRIES[: BASE + MORE]).size == BASE + MORE
        rig.open()
        rig.append(ENTRIES[BASE : BASE + MORE], BASE + 1)  # what the outbox holds is appended again
        rig.append(ENTRIES[BASE + MORE :], BASE + MORE + 1)
        rig.run()
        rig.close()
        assert rig.check(ENTRIES).size == len(ENTRIES), fail_at


def test_an_outbox_that_repeats_all_adds_nothing(tmp_path: Path) -> None:
    rig = written(tmp_path)
    rig.open()
    rig.append(ENTRIES[:BASE])
    assert not rig.run()
    rig.check(ENTRIES[:BASE])


def test_a_torn_tail_of_the_journal_is_cut_off_and_taken_again(tmp_path: Path) -> None:
    rig = written(tmp_path)
    rig.open()
    rig.append(ENTRIES[BASE : BASE + 2], BASE + 1)
    rig.close()
    last = segments(rig.journal_folder)[-1].path
    last.write_bytes(last.read_bytes()[:-3])
    with pytest.raises(WorldError, match="no whole entry after entry 250"):
        list(read_entries(rig.log))
    rig.open()
    rig.append(ENTRIES[BASE : BASE + 2], BASE + 1)
    rig.run()
    rig.check(ENTRIES[: BASE + 2])


@pytest.mark.parametrize("repeated", [3, 1, 0])
def test_a_journal_that_forgot_what_the_tree_holds_doubles_nothing(tmp_path: Path, repeated: int) -> None:
    rig = LogRig(tmp_path)
    rig.write(ENTRIES[:20])
    last = segments(rig.journal_folder)[-1].path
    whole = last.read_bytes()
    frames = sum(16 + len(entry) for entry in ENTRIES[17:20])
    last.write_bytes(whole[: len(whole) - frames])
    rig.open()
    outbox = list(enumerate(ENTRIES, 1))
    assert rig.journal is not None
    assert rig.journal.end == 17
    rig.journal.append([*outbox[20 - repeated : 20], *outbox[20:25]] if repeated == 3 else outbox[20:25])
    rig.run()
    rig.check(ENTRIES[:25])
    rig.open()
    rig.append(ENTRIES[25:30], 26)
    rig.run()
    rig.check(ENTRIES[:30])


def test_a_journal_that_is_gone_begins_at_the_tree_s_end(tmp_path: Path) -> None:
    rig = written(tmp_path)
    for each in segments(rig.journal_folder):
        each.path.unlink()
    rig.open()
    rig.append(ENTRIES[BASE:], BASE + 1)
    rig.run()
    rig.check(ENTRIES)


def test_segments_are_rotated_and_removed_but_for_the_last(tmp_path: Path) -> None:
    rig = LogRig(tmp_path, segment_bytes=100)
    rig.open()
    for number, entry in enumerate(ENTRIES[:50], 1):
        rig.append([entry], number)
    assert len(segments(rig.journal_folder)) > 5
    rig.run()
    assert len(segments(rig.journal_folder)) == 1
    rig.close()
    rig.open()
    assert rig.journal is not None
    assert rig.journal.last_number() == 50
    rig.check(ENTRIES[:50])


def test_a_cursor_follows_across_segments(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=64)
    cursor = JournalCursor(tmp_path, 0)
    read: list[bytes] = []
    for number, entry in enumerate(ENTRIES[:40], 1):
        journal.append([(number, entry)])
        if number % 3 == 0:
            read.extend(cursor.read(number))
    read.extend(cursor.read())
    assert read == ENTRIES[:40]
    assert list(JournalCursor(tmp_path, 17).read(30)) == ENTRIES[17:30]
    with pytest.raises(WorldError, match="entry 40 is not in the journal"):
        list(JournalCursor(tmp_path, 40).read(41))
    journal.close()


# ── a restored copy must not fork the log ────────────────────────────────────────────────────────────────────────────


def restored(rig: LogRig, folder: Path) -> None:
    """The log's folder as it was after 100 entries; its key was not restored."""
    older = LogRig(folder)
    older.write(ENTRIES[:100])
    rig.log.rename(rig.folder / "newer")
    older.log.rename(rig.log)


def test_a_log_that_went_back_is_refused(tmp_path: Path) -> None:
    rig = written(tmp_path)
    (tmp_path / "older").mkdir()
    restored(rig, tmp_path / "older")
    with pytest.raises(ConfigError, match="behind what its key has signed"):
        rig.open()


def test_a_log_with_other_entries_is_refused(tmp_path: Path) -> None:
    rig = written(tmp_path)
    (tmp_path / "other").mkdir()
    other = LogRig(tmp_path / "other")
    other.write(list(reversed(ENTRIES)))
    rig.log.rename(tmp_path / "mine")
    other.log.rename(rig.log)
    with pytest.raises(ConfigError, match=r"its entries are not the 250 that its key has signed .*audit\.signed"):
        rig.open()


def test_an_empty_log_for_a_key_that_has_signed_is_refused(tmp_path: Path) -> None:
    rig = written(tmp_path)
    rig.log.rename(tmp_path / "moved")
    rig.log.mkdir()
    with pytest.raises(ConfigError, match="A new audit log needs a new key"):
        rig.open()


def test_a_tree_that_was_changed_is_refused(tmp_path: Path) -> None:
    rig = written(tmp_path)
    tile = rig.log / "tile" / "0" / "000.p" / str(BASE)
    content = bytearray(tile.read_bytes())
    content[7] ^= 1
    tile.write_bytes(content)
    with pytest.raises(ConfigError, match="does not have the root that was signed"):
        rig.open()


def test_a_tree_behind_its_journal_is_refused(tmp_path: Path) -> None:
    rig = LogRig(tmp_path, segment_bytes=100)
    rig.write(ENTRIES[:BASE], 3, 100)
    rig.open()
    rig.append(ENTRIES[BASE:], BASE + 1)
    rig.run()
    rig.close()
    (tmp_path / "older").mkdir()
    older = LogRig(tmp_path / "older")
    older.write(ENTRIES[:100])
    rig.memory.unlink()
    rig.journal_folder.rename(tmp_path / "journal")
    rig.log.rename(tmp_path / "newer")
    older.log.rename(rig.log)
    for each in (rig.journal_folder).iterdir():
        each.unlink()
    rig.journal_folder.rmdir()
    (tmp_path / "journal").rename(rig.journal_folder)
    with pytest.raises(ConfigError, match="the tree is older than its journal"):
        rig.open()


def test_a_second_writer_of_the_store_is_noticed(tmp_path: Path) -> None:
    rig = written(tmp_path)
    rig.open()
    elsewhere = Journal(tmp_path / "elsewhere", tree_size=BASE)
    second = Sequencer(
        FolderStore(rig.log), tmp_path / "elsewhere", AuditLogSigner(ORIGIN, KEY, tmp_path / "other.signed")
    )
    elsewhere.append([(1, b"forked")])
    assert second.run(lambda: elsewhere.end)
    elsewhere.close()
    rig.append(ENTRIES[BASE:], BASE + 1)
    with pytest.raises(ConfigError, match="another writer"):
        rig.run()
