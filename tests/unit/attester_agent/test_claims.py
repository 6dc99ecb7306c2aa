"""Claims: what comes with the agent, what is selected, and that no plug-in can do harm."""

import os
import sys
import threading
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from attester_agent import claims
from attester_agent.claim_collection import MAX_CLAIMS_BYTES, ClaimCollection, is_selected, load_collectors
from attester_agent.claims import BootTime, Collected, Collector, container_digests
from schemas.hashes import SHA256
from schemas.identifiers import Ueid
from schemas.limits import MAX_CLAIMS, MAX_TEXT_BYTES
from schemas.messages.evidence import EvidenceBody, SyncProof, encode_body, parse_body
from tests.programs.waiting import PATIENCE_S

PROJECT = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text("utf-8"))
BUILT_IN: dict[str, Collector] = {
    name: metadata.EntryPoint(name, value, "attestream.claims").load()
    for name, value in PROJECT["project"]["entry-points"]["attestream.claims"].items()
}


def collected(collectors: dict[str, Callable[[], Collected]], *select: str, **options: float) -> dict[str, object]:
    made = {name: Collector(collect=collect) for name, collect in collectors.items()}
    return dict(ClaimCollection(made, select or ("*",), **options).current())  # type: ignore[arg-type]  # as named


def raises() -> Collected:
    raise OSError("no such device")


def test_the_built_in_collectors_load_and_say_what_runs_here() -> None:
    assert all(isinstance(each, Collector) for each in BUILT_IN.values())
    found = ClaimCollection(BUILT_IN, ["*"], patience_s=30).current()
    assert found["kernel-release"] == os.uname().release
    assert set(found) <= set(BUILT_IN)
    assert "uptime" not in found


def test_what_changes_with_the_time_is_left_out_unless_it_is_named() -> None:
    assert not is_selected("uptime", BUILT_IN["uptime"], ["*", "up*"])
    assert isinstance(ClaimCollection(BUILT_IN, ["uptime"], patience_s=30).current()["uptime"], int)


def test_a_selection_keeps_what_it_names() -> None:
    collectors: dict[str, Callable[[], Collected]] = {
        "kernel-release": lambda: "6",
        "kernel-command-line": lambda: "quiet",
        "os-release": lambda: "Debian",
        "containers": lambda: {"a": "1", "b": "2"},
    }
    assert set(collected(collectors, "kernel-*")) == {"kernel-release", "kernel-command-line"}
    assert set(collected(collectors, "containers/a")) == {"containers/a"}
    assert set(collected(collectors, "containers")) == {"containers/a", "containers/b"}
    assert len(collected(collectors, "*")) == 5
    assert collected(collectors, "nothing") == {}


def test_what_is_not_selected_is_not_even_called() -> None:
    called: list[str] = []
    collected({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, "b")
    assert called == ["b"]


def test_a_collector_that_fails_costs_its_own_claims_alone() -> None:
    assert collected({"bad": raises, "good": lambda: True}) == {"good": True}


@pytest.mark.parametrize("value", [2**53 + 1, 1.5, ["x"], {"deep": {"er": 1}}, {"": "no name"} and object()])
def test_what_no_claim_can_be_costs_its_own_claims_alone(value: object) -> None:
    assert collected({"bad": lambda: value, "good": lambda: 1}) == {"good": 1}  # type: ignore[dict-item,return-value]  # a plug-in's mistake


@pytest.mark.parametrize("name", ["x" * 65, "line\nbreak"])
def test_a_name_that_evidence_does_not_carry_is_left_out(name: str) -> None:
    assert collected({name: lambda: 1, "good": lambda: 1}) == {"good": 1}


def test_whatever_collectors_return_is_carried_by_evidence() -> None:
    found = collected(
        {
            "long": lambda: "é" * MAX_TEXT_BYTES,
            "surrogates": lambda: "\udcff",
            "bytes": lambda: b"\xff" * 10,
            "empty": lambda: "",
            "no": lambda: False,
            "number": lambda: -(2**53),
            "nothing": lambda: None,
        }
    )
    assert set(found) == {"long", "surrogates", "bytes", "no", "number"}
    sync = SyncProof(attest=b"", signature=b"")
    body = EvidenceBody(ueid=Ueid(b"\x01" + bytes(32)), sync=sync, environment=b"", sequence=0, claims=found)  # type: ignore[arg-type]  # that is the question
    assert parse_body(encode_body(body)).claims == found


def test_claims_are_bounded_in_number_and_size() -> None:
    assert len(collected({"many": lambda: {f"{number:03}": 1 for number in range(100)}})) == MAX_CLAIMS
    long = collected({name: lambda: "x" * MAX_TEXT_BYTES for name in "abcdef"})
    assert sum(len(str(value)) for value in long.values()) <= MAX_CLAIMS_BYTES


def test_a_collector_that_hangs_delays_one_call_and_keeps_its_last_value() -> None:
    let_go, calls = threading.Event(), []

    def slow() -> Collected:
        calls.append(1)
        if len(calls) > 1:
            assert let_go.wait(PATIENCE_S)
        return len(calls)

    collectors = {"slow": Collector(collect=slow), "quick": Collector(collect=lambda: 1)}
    collection = ClaimCollection(collectors, ["*"], every_s=0, patience_s=0.01)
    while "slow" not in collection.current() or len(calls) < 2:
        pass
    assert collection.current()["slow"] == 1
    for _ in range(5):
        assert collection.current()["quick"] == 1
    assert len(calls) == 2
    let_go.set()
    while collection.current()["slow"] == 1:
        pass


def test_claims_are_looked_at_again_only_after_a_while() -> None:
    calls: list[int] = []

    def count() -> Collected:
        calls.append(1)
        return len(calls)

    collection = ClaimCollection({"count": Collector(collect=count)}, ["*"], every_s=3600, patience_s=30)
    assert [collection.current()["count"] for _ in range(3)] == [1, 1, 1]


def test_the_label_is_a_claim_whatever_is_selected() -> None:
    assert ClaimCollection({}, [], label="device-1").current() == {"label": "device-1"}


def test_a_plug_in_of_another_package_is_found_and_a_broken_one_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "room_claim.py").write_text(
        "from attester_agent.claims import Collector\nROOM = Collector(collect=lambda: 'cellar')\nNOT = 1\n"
    )
    folder = tmp_path / "room-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: room\nVersion: 1.0\n")
    points = "room = room_claim:ROOM\nbroken = room_claim:ABSENT\nmissing = nowhere:X\nwrong = room_claim:NOT\n"
    (folder / "entry_points.txt").write_text(f"[attestream.claims]\n{points}")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    collectors = load_collectors()
    assert {"broken", "missing", "wrong"}.isdisjoint(collectors)
    assert ClaimCollection(collectors, ["room"], patience_s=30).current() == {"room": "cellar"}


def test_the_boot_time_stays_although_the_clock_is_corrected(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    boot_time = BootTime(stat)
    told = []
    for seconds in (1_800_000_059, 1_800_000_061, 1_800_000_300, 1_800_009_000):
        stat.write_text(f"cpu 1 2\nbtime {seconds}\n")
        told.append(boot_time())
    assert told == ["2027-01-15T08:00Z"] * 3 + ["2027-01-15T10:30Z"]


def test_secure_boot_is_what_the_firmware_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = tmp_path / "SecureBoot"
    monkeypatch.setattr(claims, "_SECURE_BOOT", variable)
    assert claims.secure_boot() is None
    for value, expected in ((0, False), (1, True)):
        variable.write_bytes(b"\x06\0\0\0" + bytes([value]))
        assert claims.secure_boot() is expected
    variable.write_bytes(b"")
    with pytest.raises(ValueError, match="expected 5"):
        claims.secure_boot()


def test_containers_are_the_digests_of_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "quadlets"
    folder.mkdir()
    (folder / "web.container").write_bytes(b"image=web")
    (tmp_path / "compose.yaml").write_bytes(b"services:")
    paths = [folder, tmp_path / "compose.yaml", tmp_path / "missing"]
    assert container_digests(paths).collect() == {
        "web.container": f"sha256:{SHA256.digest(b'image=web').hex()}",
        "compose.yaml": f"sha256:{SHA256.digest(b'services:').hex()}",
    }
    (folder / "big").write_bytes(bytes(1024 * 1024 + 1))
    with pytest.raises(ValueError, match="more than"):
        container_digests(paths).collect()
