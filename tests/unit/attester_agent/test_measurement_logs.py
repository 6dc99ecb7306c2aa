"""Logs in files: only what is new, only whole entries, and no surprise goes unnoticed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from attester_agent.logs.kernel_logs import KernelLog, open_measurement_logs
from attester_agent.ports import LogRestartedError
from schemas.boot_log.records import split_records as split_events
from schemas.errors import WorldError
from schemas.hashes import SHA1, SHA256, HashAlgorithm
from schemas.ima.records import split_records
from schemas.reasons import Reason
from schemas.replay.log_replay import IMA, TCG2
from tests.builders.ima_shown import show_ascii, show_bank
from tests.builders.log_bytes import FIRMWARE, ima_ng

FILES = tuple(ima_ng(b"/bin/%d" % number, b"content %d" % number) for number in range(6))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "list"
    file.write_bytes(b"".join(FILES[:3]))
    return file


@pytest.fixture
def log(path: Path) -> KernelLog:
    return KernelLog(IMA, path, max_bytes=10_000)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_what_is_new_comes_and_any_index_comes_again(log: KernelLog, path: Path) -> None:
    assert log.has_grown()
    assert log.read(0).records == FILES[:3]
    assert not log.has_grown()
    append(path, FILES[3] + FILES[4])
    assert log.has_grown()
    assert log.read(3).records == FILES[3:5]
    assert log.read(1).records == FILES[1:5]
    assert log.read(1).end == 5
    assert log.read(5).records == ()


def test_a_new_reader_finds_an_index_in_the_middle(log: KernelLog) -> None:
    entries = log.read(2)
    assert (entries.start, entries.records) == (2, FILES[2:3])


def test_half_an_entry_waits(log: KernelLog, path: Path) -> None:
    log.read(0)
    append(path, FILES[3][:30])
    assert log.read(3).records == ()
    append(path, FILES[3][30:])
    assert log.read(3).records == FILES[3:4]


def test_a_shorter_file_is_noticed_and_read_anew(log: KernelLog, path: Path) -> None:
    log.read(0)
    with path.open("r+b") as file:
        file.truncate(len(FILES[0]))
    assert log.has_grown()
    with pytest.raises(LogRestartedError):
        log.read(3)
    assert log.read(0).records == FILES[:1]


def test_a_replaced_file_is_noticed(log: KernelLog, path: Path, tmp_path: Path) -> None:
    log.read(0)
    other = tmp_path / "other"
    other.write_bytes(b"".join(FILES))
    other.replace(path)
    assert log.has_grown()
    with pytest.raises(LogRestartedError):
        log.read(3)
    assert log.read(0).records == FILES


def test_a_missing_file_is_named_and_may_come(tmp_path: Path) -> None:
    (log,) = open_measurement_logs(tcg2=None, ima=tmp_path / "nothing")
    assert not log.exists
    assert not log.has_grown()
    with pytest.raises(WorldError, match="nothing: No such file") as caught:
        log.read(0)
    assert caught.value.reason is Reason.LOG_UNREADABLE
    (tmp_path / "nothing").write_bytes(FILES[0])
    assert log.read(0).records == FILES[:1]


def test_nonsense_is_an_error_and_not_growth(log: KernelLog, path: Path) -> None:
    log.read(0)
    append(path, b"\xff" * 100)
    assert log.has_grown()
    with pytest.raises(WorldError, match="after entry 3") as caught:
        log.read(3)
    assert caught.value.reason is Reason.LOG_MALFORMED
    assert not log.has_grown()


def test_more_than_memory_is_for_is_refused(path: Path) -> None:
    with pytest.raises(WorldError, match="more than 100 bytes"):
        KernelLog(IMA, path, max_bytes=100).read(0)


def test_a_file_whose_size_is_said_to_be_zero_is_read_to_its_end() -> None:
    version = Path("/proc/version")
    assert version.stat().st_size == 0
    with pytest.raises(WorldError, match="after entry 0"):
        KernelLog(IMA, version, max_bytes=10_000).read(0)


def test_the_recorded_boot_log_is_cut_from_any_index() -> None:
    path = FIRMWARE / "binary_bios_measurements"
    records = split_events(path.read_bytes()).records
    log = KernelLog(TCG2, path, max_bytes=1 << 20)
    assert log.read(0).records == records
    assert log.read(5).records == records[5:]
    assert KernelLog(TCG2, path, max_bytes=1 << 20).read(7).records == records[7:]
    assert split_records((FIRMWARE / "binary_runtime_measurements").read_bytes())[1] == b""


@pytest.mark.parametrize("show", [show_ascii, show_bank])
@pytest.mark.parametrize("algorithm", [SHA1, SHA256])
def test_a_list_in_another_form_is_read_like_the_binary_one(
    tmp_path: Path, show: Callable[[bytes, HashAlgorithm], bytes], algorithm: HashAlgorithm
) -> None:
    path = tmp_path / "list"
    shown = [show(record, algorithm) for record in FILES]
    path.write_bytes(b"".join(shown[:3]) + shown[3][:-1])
    log = KernelLog(IMA, path, max_bytes=10_000)
    assert log.read(0).records == FILES[:3]
    path.write_bytes(b"".join(shown))
    assert log.has_grown()
    assert log.read(2).records == FILES[2:]
    assert log.read(5).records == FILES[5:]
    assert not log.has_grown()


def test_a_kernel_that_shows_the_last_event_again_after_a_seek_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As seen of ``binary_bios_measurements`` on Linux 6.1.0-50."""
    events = split_events((FIRMWARE / "binary_bios_measurements").read_bytes()).records
    (tmp_path / "log").write_bytes(b"".join(events))
    seek, read, sought = os.lseek, os.read, set[int]()

    def lseek(descriptor: int, offset: int, how: int) -> int:
        sought.add(descriptor)
        return seek(descriptor, offset, how)

    def read_as_that_kernel(descriptor: int, size: int) -> bytes:
        data = read(descriptor, size)
        if not data and descriptor in sought:
            sought.discard(descriptor)
            return events[-1][:size]
        return data

    monkeypatch.setattr(os, "lseek", lseek)
    monkeypatch.setattr(os, "read", read_as_that_kernel)
    log = KernelLog(TCG2, tmp_path / "log", max_bytes=1_000_000)
    assert log.read(0).records == events
    assert not log.has_grown()
    assert log.read(len(events)).records == ()
