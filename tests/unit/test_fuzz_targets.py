"""The fuzz targets run: each on its seeds and a few hundred mutations of them, always the same."""

from pathlib import Path

import pytest

from schemas.errors import PeerError
from tests.fuzz.__main__ import load_target, main, targets
from tests.fuzz.engine import Record, Target, fuzz, mutations

MUTATIONS = 300


@pytest.mark.parametrize("name", targets())
def test_a_target_refuses_mutations_politely(name: str) -> None:
    target = load_target(name)
    refused = 0
    for data in mutations(target, MUTATIONS):
        try:
            target.one(data)
        except PeerError:
            refused += 1
    assert refused < MUTATIONS + len(target.seeds)  # the seeds, at least, go deep


def test_a_crash_is_found_and_kept(tmp_path: Path) -> None:
    def one(data: bytes) -> None:
        if len(data) > 6:
            raise KeyError(data)

    outcome = fuzz(Target(one=one, seeds=[b"seed"]), 20, Record(tmp_path / "input"), seed=1)
    assert isinstance(outcome.error, KeyError)
    assert outcome.crash is not None
    assert len(outcome.crash) > 6
    assert Record.read(tmp_path / "input") == outcome.crash


def test_a_replay_of_an_input_says_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "input"
    saved.write_bytes(b"\xff")
    assert main(["--target", "cbor", "--replay", str(saved)]) == 0
    assert "refused" in capsys.readouterr().out
    assert main(["--replay", str(saved)]) == 2
