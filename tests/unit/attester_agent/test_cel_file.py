"""CEL files as the agent reads them: growth, replacement, locks, damage."""

import fcntl
from pathlib import Path

import pytest

from attester_agent.logs.cel_file import CelFile
from attester_agent.ports import LogRestartedError
from schemas.cel import in_json as cel_json
from schemas.cel.in_cbor import encode_record, parse_record
from schemas.cel.records import ApplicationContent, CelRecord, SystemdContent, application_record
from schemas.errors import WorldError
from schemas.hashes import SHA256
from schemas.reasons import Reason


def record(number: int) -> bytes:
    content = ApplicationContent(event_type="app", name=str(number), digest=bytes(32))
    return encode_record(application_record(16, content, (SHA256.tpm_id,), number))


def systemd(text: str, pcr: int) -> bytes:
    digests = ((SHA256.tpm_id, SHA256.digest(text.encode())),)
    made = CelRecord(recnum=None, pcr=pcr, digests=digests, content=SystemdContent(string=text))
    return b"\x1e" + cel_json.encode_record(made) + b"\n"


def test_only_what_is_new_is_added_and_a_record_that_is_cut_short_waits(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = CelFile("app", path)
    assert (log.name, log.exists, log.has_grown()) == ("cel/app", False, False)
    path.write_bytes(record(0) + record(1) + record(2)[:10])
    assert log.has_grown()
    assert log.read(0).records == (record(0), record(1))
    assert not log.has_grown()
    path.write_bytes(record(0) + record(1) + record(2))
    assert log.has_grown()
    assert log.read(2).records == (record(2),)
    assert log.read(0).records == (record(0), record(1), record(2))


def test_systemd_records_are_numbered_by_pcr_however_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    texts = [("a", 11), ("b", 15), ("c", 11), ("d", 11)]
    growing = CelFile("systemd", path)
    for count in range(1, len(texts) + 1):
        path.write_bytes(b"".join(systemd(*each) for each in texts[:count]))
        growing.read(0)
    read = growing.read(0)
    assert read == CelFile("systemd", path).read(0)
    assert [parse_record(raw).recnum for raw in read.records] == [0, 0, 1, 2]


def test_an_array_that_is_written_anew_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = CelFile("app", path)
    texts = [cel_json.encode_record(parse_record(record(number))) for number in range(3)]
    path.write_bytes(b"[" + b",".join(texts[:2]) + b"]")
    assert len(log.read(0).records) == 2
    path.write_bytes(b"[" + b",".join(texts) + b"]")
    assert log.read(2).records == (record(2),)


@pytest.mark.parametrize("after", [b"", record(0)[:-1], record(1) + record(0), record(5) + record(6) + record(2)])
def test_a_log_that_does_not_go_on_is_another_one(tmp_path: Path, after: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(record(0) + record(1))
    log = CelFile("app", path)
    log.read(0)
    path.write_bytes(after)
    with pytest.raises(LogRestartedError):
        log.read(2)
    assert log.read(0) == CelFile("app", path).read(0)


def test_damage_is_named_and_not_tried_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"not a log")
    log = CelFile("app", path)
    with pytest.raises(WorldError) as caught:
        log.read(0)
    assert caught.value.reason is Reason.LOG_MALFORMED
    assert str(path) in caught.value.detail
    assert not log.has_grown()
    path.write_bytes(record(0))
    assert log.has_grown()
    assert log.read(0).records == (record(0),)


def test_a_lock_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(record(0))
    pauses: list[float] = []
    with path.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert CelFile("app", path, pause=pauses.append).read(0).records == (record(0),)
    assert 0 < sum(pauses) < 2
