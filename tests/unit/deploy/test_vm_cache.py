"""Two ``./run vm`` at once share one cache."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy import package
from deploy.demo.narrator import Narrator
from deploy.vm.play import cached_package
from runtime.service import Stop


def test_of_two_runs_at_once_one_makes_the_package_and_both_have_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    start, second = threading.Barrier(2), threading.Event()

    def build(out: Path) -> Path:
        made.append(out)
        if len(made) > 1:
            second.set()
        second.wait(0.3)  # long enough for the other to look; over at once when it makes one, too
        built = out / "agent.deb"
        built.write_bytes(b"whole")
        return built

    def run() -> bytes:
        start.wait()
        return cached_package(tmp_path, Narrator(Stop())).read_bytes()

    monkeypatch.setattr(package, "build", build)
    monkeypatch.setattr(package, "fingerprint", lambda: "0" * 64)
    with ThreadPoolExecutor(2) as pool:
        assert [each.result() for each in [pool.submit(run), pool.submit(run)]] == [b"whole", b"whole"]
    assert len(made) == 1
