"""The worlds in which attacks take place; the scene closes at the end what it opened."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Self, TypeVar

from schemas.verdicts import Tier
from tests.worlds.step_bench import Bench, CelBench
from tests.worlds.verifier import Verifying
from tests.worlds.watched_device import WatchedDevice

Opened = TypeVar("Opened")


class Scene:
    """Gives an attack a device and a verifier that has affirmed it, and a folder."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def enter(self, opened: AbstractContextManager[Opened]) -> Opened:
        """Closes it at the end."""
        return self._stack.enter_context(opened)

    def at_end(self, close: Callable[[], object]) -> None:
        """Calls it at the end."""
        self._stack.callback(close)

    def folder(self) -> Path:
        """A new one; removed at the end."""
        return Path(self.enter(tempfile.TemporaryDirectory(prefix="attack-")))

    def bench(self) -> Bench:
        """The pure core; the device is affirmed."""
        bench = Bench()
        bench.take(bench.device.push())
        assert bench.verdict() == (Tier.AFFIRMING, set())
        return bench

    def bad_bench(self) -> Bench:
        """The pure core; the device ran /tmp/evil and was found contraindicated."""
        bench = self.bench()
        bench.device.run(b"/tmp/evil", b"evil")
        bench.take(bench.device.push())
        assert bench.verdict()[0] is Tier.CONTRAINDICATED
        return bench

    def cel_bench(self) -> CelBench:
        """The pure core and a device with two CEL logs, before its first push."""
        return CelBench()

    def watched(self) -> WatchedDevice:
        """The pure core and a device whose clock a test moves; affirmed."""
        return WatchedDevice()

    def verifier(self) -> Verifying:
        """Trust store, worker, database and audit log on disk; the device is affirmed."""
        verifying = self.enter(Verifying(self.folder()))
        verifying.device.sync(verifying.new_handle())
        assert verifying.push().status is Tier.AFFIRMING
        return verifying
