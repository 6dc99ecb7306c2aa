"""Handles by file: what the distributor exports, and an agent that is fed by nothing else."""

import logging
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from attester_agent.adapters.handle_file import HandleFileSource
from handle_distributor.__main__ import main
from handle_distributor.handle_export import HandleExport
from runtime import clock
from runtime.durable import sole_user
from runtime.service import Stop
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.errors import PeerError, WorldError
from schemas.messages.handle import MAX_HANDLE_BYTES, Handle, handle_id, verify_handle
from schemas.reasons import Reason
from tests.builders.token_forge import ForgedAuthority
from tests.fakes.attester import HandleMint
from tests.programs.tsa import honest, misbehaving_tsa
from tests.programs.waiting import PATIENCE_S
from tests.worlds.agent import T_US, Clock, Rig, S

AUTHORITY = ForgedAuthority.make()
CONFIG = """
name = "main"
signing_key = "hd.pem"
state_file = "last-handle"
[tsa]
urls = ["URL"]
roots = ["tsa-root.pem"]
"""


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    moving = Clock()
    monkeypatch.setattr(clock, "monotonic_s", moving.monotonic_s)
    monkeypatch.setattr(clock, "utc_us", moving.utc_us)
    return Rig(HandleMint(), moving, source=HandleFileSource(tmp_path / "handle"))


def put(path: Path, content: bytes) -> None:
    """As an exporter does: the file is replaced as a whole."""
    beside = path.with_name("new")
    beside.write_bytes(content)
    beside.replace(path)


def rejected() -> dict[Reason, float]:
    metric = "attestream_handles_rejected_total"
    return {each: REGISTRY.get_sample_value(metric, {"reason": each}) or 0.0 for each in Reason}


def test_a_handle_in_a_file_is_bound_to_and_the_newest_wins(rig: Rig, tmp_path: Path) -> None:
    first, second, third = (rig.mint.raw(T_US + number * S) for number in range(3))
    put(tmp_path / "handle", first)
    rig.heartbeats(2)
    assert rig.agent.state.handle is not None
    assert (rig.agent.state.handle.id, rig.tpm.syncs) == (handle_id(first), 1)
    rig.turn(rig.handle(T_US + 4 * S))
    put(tmp_path / "handle", second)
    rig.heartbeats(1, every_s=1)
    assert rig.agent.state.handle.time_us == T_US + 4 * S  # the broker's is newer
    rig.time.now_s += 10
    put(tmp_path / "handle", newest := rig.mint.raw(T_US + 5 * S))
    rig.heartbeats(1, every_s=1)
    assert rig.agent.state.handle.id == handle_id(newest)
    put(tmp_path / "handle", third)
    rig.heartbeats(1, every_s=1)
    assert rig.agent.state.handle.id == handle_id(newest)


def test_what_is_wrong_with_the_file_is_said_once_for_each_change(rig: Rig, tmp_path: Path) -> None:
    def told(count: int = 3) -> dict[Reason, float]:
        before = rejected()
        rig.heartbeats(count, every_s=1)
        return {each: number - before[each] for each, number in rejected().items() if number != before[each]}

    path = tmp_path / "handle"
    assert told() == {Reason.STORE_UNAVAILABLE: 1}  # not there yet
    put(path, b"nonsense")
    assert told() == {Reason.MALFORMED: 1}
    put(path, b"nonsense again")
    assert told() == {Reason.MALFORMED: 1}
    put(path, bytes(MAX_HANDLE_BYTES + 1))
    assert told() == {Reason.TOO_LARGE: 1}
    put(path, HandleMint().raw(T_US))
    assert told() == {Reason.HANDLE_SIGNATURE_INVALID: 1}
    path.unlink()
    assert told() == {Reason.STORE_UNAVAILABLE: 1}
    os.mkfifo(path)
    assert told() == {Reason.STORE_UNAVAILABLE: 1}
    path.unlink()
    path.mkdir()
    assert told() == {Reason.STORE_UNAVAILABLE: 1}
    path.rmdir()
    put(path, rig.mint.raw(T_US))
    assert told() == {}
    assert rig.sequences == [0]


def test_a_file_that_did_not_change_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "handle"
    source = HandleFileSource(path)
    with pytest.raises(WorldError, match="No such file"):
        source.poll()
    assert source.poll() is None
    path.write_bytes(b"one")
    assert (source.poll(), source.poll()) == (b"one", None)
    path.write_bytes(b"other")
    assert source.poll() == b"other"
    path.write_bytes(bytes(MAX_HANDLE_BYTES + 1))
    with pytest.raises(PeerError):
        source.poll()
    assert source.poll() is None


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The command sends logs to the standard error of its test; the next test has another."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture(name="config")
def config_file(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "tsa-root.pem").write_bytes(AUTHORITY.root.pem)
    assert main(["keygen", "--out", str(tmp_path / "hd.pem")]) == 0
    with misbehaving_tsa(honest(AUTHORITY)) as url:
        path = tmp_path / "hd.toml"
        path.write_text(CONFIG.replace("URL", url))
        yield path


def test_export_writes_the_newest_handle_beside_a_running_distributor(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    issued, out = config.parent / "issued", config.parent / "out"
    assert main(["export", "--config", str(config), str(out)]) == 1
    assert "no handle yet" in capsys.readouterr().err
    assert main(["issue-once", "--config", str(config), "--out", str(issued)]) == 0
    capsys.readouterr()
    with sole_user(config.parent / "last-handle", "state_file"):
        assert main(["export", "--config", str(config), str(out)]) == 0
    assert out.read_bytes() == issued.read_bytes()
    printed = capsys.readouterr().out
    assert [
        word for word in ("id:", "time:", "expires:", handle_id(out.read_bytes()).hex()) if word not in printed
    ] == []


@pytest.mark.parametrize(
    ("out", "words"), [("last-handle", "state_file: "), ("none/out", "OUT: "), (".", "is a folder")]
)
def test_a_place_that_cannot_be_exported_to_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], out: str, words: str
) -> None:
    assert main(["export", "--config", str(config), str(config.parent / out)]) == 2
    assert words in capsys.readouterr().err


def test_a_state_file_that_holds_no_handle_of_ours_is_not_exported(config: Path) -> None:
    (config.parent / "last-handle").write_bytes(HandleMint().raw(T_US))
    assert main(["export", "--config", str(config), str(config.parent / "out")]) == 1
    assert not (config.parent / "out").exists()


def test_following_exports_every_new_handle_and_survives_what_is_wrong(tmp_path: Path) -> None:
    mint = HandleMint()
    stamps = TimeStampVerifier(mint.authority.root.pem)
    source, out, stop = tmp_path / "last-handle", tmp_path / "out", Stop()
    told: queue.SimpleQueue[Handle] = queue.SimpleQueue()
    export = HandleExport(source, out, lambda raw: verify_handle(raw, mint.keys, stamps))
    thread = threading.Thread(target=export.follow, args=(stop, told.put))
    thread.start()
    try:
        for number in range(2):
            put(source, raw := mint.raw(T_US + number * S))
            assert told.get(timeout=PATIENCE_S).raw == raw
            assert out.read_bytes() == raw
            put(source, b"broken")
    finally:
        stop.request()
        thread.join()
