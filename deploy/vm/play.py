"""One run of ``./run vm``: builds the image, runs the machine through the scenario, stops everything."""

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy import package
from deploy.demo.layout import RunDirectory
from deploy.demo.narrator import Narrator, StoppedError
from deploy.demo.problem import DemoError
from deploy.demo.processes import Children
from deploy.demo.temporary import temporary_folder
from deploy.vm.machine import Machine
from deploy.vm.make import Make
from deploy.vm.options import make_of
from deploy.vm.outside import Outside
from deploy.vm.recording import write_recording
from deploy.vm.scenario import Scenario
from runtime.command_line import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from runtime.service import Stop
from schemas.errors import AttestreamError

HERE: Final = Path(__file__).parent
IMAGE_S: Final = 1200.0
_KEPT_PACKAGES: Final = 2
CACHE: Final = HERE.parents[1] / ".cache" / "vm"


def play(options: argparse.Namespace, stop: Stop) -> int:
    """Builds the image unless it exists, and runs the scenario; returns the exit status."""
    narrator = Narrator(stop)
    make = make_of(options)
    try:
        image = options.image.absolute() if options.image else build_image(options, narrator)
        with temporary_folder() as temporary:
            return _play(options, make, image, temporary, narrator)
    except StoppedError:
        narrator.say("stopped")
        return EXIT_INTERRUPTED
    except (DemoError, AttestreamError, OSError) as error:
        narrator.print(f"vm: {error}")
        return EXIT_FAILED


def _play(options: argparse.Namespace, make: Make, image: Path, temporary: Path, narrator: Narrator) -> int:
    root = temporary if options.keep is None else options.keep.absolute()
    run, sockets, disks = RunDirectory(root, temporary / "s"), temporary / "s", temporary / "machine"
    for folder in (sockets, disks):
        folder.mkdir()
    run.make()
    children = Children(run.logs)
    outside = Outside(run, children, narrator)
    machine = Machine(make, image, disks, sockets, children, narrator)
    scenario = Scenario(machine, outside, run, children, narrator, options.programs)
    try:
        scenario.play(until_affirming=options.until_affirming, by_page=options.by_page)
        if options.record is not None:
            write_recording(options.record, outside, run, scenario.report)
    finally:
        narrator.say("stopping everything …")
        outside.stop()
        machine.switch_off()
        children.stop_all()
        if options.keep is not None and machine.console.exists():
            shutil.copyfile(machine.console, run.logs / "console")
    narrator.print(
        "",
        f"{narrator.seconds:.0f} s in all: time of each step, and how long the board's emulated processors worked",
        *(f"  {step.text}" for step in scenario.report.steps),
        "",
        f"{make.name}: all as expected",
        *(f"  {each.name:20} {each.seen}" for each in scenario.report.observations),
    )
    return EXIT_OK


def build_image(options: argparse.Namespace, narrator: Narrator) -> Path:
    """The disk image with the agent of this checkout; made if it is not cached.

    Raises:
        DemoError: it could not be made.
    """
    if options.agent is not None:
        return _run_builder(options.agent.absolute(), options, narrator)
    return _run_builder(cached_package(CACHE, narrator), options, narrator)


def cached_package(cache: Path, narrator: Narrator) -> Path:
    """The package of this checkout. If two runs start at once, the second waits for the package of the first."""
    kept = cache / f"package-{package.fingerprint()[:16]}"
    with _alone(cache, narrator):
        found = sorted(kept.glob("*.deb"))
        if found:
            return found[0]
        with tempfile.TemporaryDirectory(prefix="attestream-") as scratch, narrator.step("The agent's Debian package"):
            built = package.build(Path(scratch))
            for old in sorted(cache.glob("package-*"), key=lambda each: each.stat().st_mtime)[:-_KEPT_PACKAGES]:
                shutil.rmtree(old)
            kept.mkdir(parents=True, exist_ok=True)
            return shutil.copyfile(built, kept / "new").replace(kept / built.name)


@contextlib.contextmanager
def _alone(cache: Path, narrator: Narrator) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "package.lock").open("w", encoding="ascii") as lock:

        def taken() -> bool:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        narrator.wait("another run makes the agent's package", taken, IMAGE_S)
        yield


def _run_builder(built: Path, options: argparse.Namespace, narrator: Narrator) -> Path:
    with narrator.step("The disk image (the first time: debootstrap, one to three minutes)"):
        return _build([str(built), options.suite, options.kernel, *options.packages], narrator)


def _build(arguments: list[str], narrator: Narrator) -> Path:
    """The builder has its own session, so that Ctrl-C reaches only this process."""
    command = [*_as_root(), str(HERE / "build-image"), *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as builder:
        try:
            narrator.wait("the image", lambda: builder.poll() is not None, IMAGE_S)
        except (DemoError, StoppedError):
            os.killpg(builder.pid, signal.SIGTERM)  # debootstrap too
            raise
        said, complained = builder.communicate()
    if builder.returncode:
        raise DemoError(f"no image: {complained.strip()}")
    return Path(said.strip().splitlines()[-1])


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n"]
