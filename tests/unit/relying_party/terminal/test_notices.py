"""The problems that are printed for a person who waits for results."""

from pathlib import Path

import pytest

from relying_party.__main__ import main
from relying_party.terminal.notices import Notices
from runtime.keys import generate_key_pair
from tests.programs.mosquitto import free_port


def test_a_missing_broker_is_said_once_and_again_when_it_comes_back() -> None:
    notices = Notices("b:1", ["k"], 0.0)

    def at(now_s: float, *, connected: bool) -> list[str]:
        return list(notices.lines(now_s, connected=connected, refused=0, why=""))

    assert at(0.5, connected=False) == []
    assert at(1.0, connected=False) == ["broker b:1 not reached yet, trying again"]
    assert at(2.0, connected=False) == []
    assert at(3.0, connected=True) == ["broker b:1 reached"]
    assert at(4.0, connected=True) == []
    assert at(5.0, connected=False) == ["broker b:1 lost, trying again"]
    assert at(6.0, connected=True) == ["broker b:1 reached"]


def test_a_broker_that_is_there_is_nothing_to_say() -> None:
    assert list(Notices("b:1", ["k"], 0.0).lines(0.5, connected=True, refused=0, why="")) == []


def test_refused_results_are_said_at_once_and_then_every_ten_seconds() -> None:
    notices = Notices("b:1", ["k2", "k1"], 0.0)
    said = {
        now_s: list(notices.lines(float(now_s), connected=True, refused=refused, why="signed by key 'x'"))
        for now_s, refused in ((1, 1), (2, 5), (11, 7), (12, 7), (40, 7))
    }
    assert said == {
        1: ["1 result refused: signed by key 'x'; you trust k1, k2"],
        2: [],
        11: ["7 results refused: signed by key 'x'; you trust k1, k2"],
        12: [],
        40: [],
    }


def test_a_broker_that_was_never_reached_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate_key_pair(tmp_path / "v.key")
    port = free_port()
    where = ["--port", str(port), "--verifier-key", str(tmp_path / "v.pub")]
    assert main(["results", *where, "--seconds", "1.2"]) == 1
    assert f"broker 127.0.0.1:{port} not reached yet, trying again" in capsys.readouterr().err


def test_a_key_that_is_none_names_file_and_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rp.toml"
    path.write_text('verifier_keys = ["rp.toml"]\n')
    assert main(["watch", "--config", str(path), "--check-config"]) == 2
    assert f"{path}: verifier_keys: {path}: no PEM public key in it" in capsys.readouterr().err
