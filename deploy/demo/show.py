"""One demonstration from beginning to end: set up, run the scenario, judge, report, take down."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console

from deploy.demo.broker import HOST
from deploy.demo.embedded_tsa import ROOT_FILE
from deploy.demo.layout import RunDirectory
from deploy.demo.narrator import Narrator, StoppedError
from deploy.demo.options import SCENARIO_SECONDS, Options
from deploy.demo.problem import DemoError
from deploy.demo.scenario.outcomes import Expectation, History, Moment, judge
from deploy.demo.scenario.plan import Plan, Role, Step, plan
from deploy.demo.scenario.report import Outcome, summary, write_report
from deploy.demo.scenario.screen import LiveScreen, PlainScreen, Screen
from deploy.demo.stage import Stage
from deploy.demo.temporary import temporary_folder
from relying_party.result_board import Standing
from runtime import clock
from runtime.command_line import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from runtime.service import Stop
from schemas.errors import AttestreamError
from schemas.identifiers import Ueid
from schemas.instants import SECOND_US
from schemas.topics import TopicKind

REFRESH_S: Final = 0.25


class Show:
    """A run. Owned by the main thread."""

    def __init__(self, options: Options, run: RunDirectory, stop: Stop) -> None:
        """Starts nothing.

        Args:
            options: of the command line.
            run: the folders.
            stop: set by a signal.
        """
        self._options = options
        self._run = run
        self._stop = stop
        self._narrator = Narrator(stop)
        self._stage = Stage(
            run,
            self._narrator,
            attesters=options.attesters,
            port=options.port,
            dashboard=not options.no_dashboard,
        )
        self._plan: Plan = plan(options.attesters, options.seconds or SCENARIO_SECONDS)
        self._waiting: list[Step] = list(self._plan.steps)
        self._histories: dict[str, History] = {}
        self._problem = ""

    def play(self) -> int:
        """Runs everything; returns the exit status."""
        interrupted = False
        try:
            self._stage.set_up()
            self._announce()
            self._run_scenario()
            interrupted = self._stop.requested and (self._options.seconds is not None or bool(self._waiting))
        except StoppedError:
            interrupted = True
        except (DemoError, AttestreamError) as error:
            self._problem = str(error)
        except OSError as error:
            self._problem = f"{error.filename or 'the operating system'}: {error.strerror}"
        self._narrator.say("stopping everything …")
        try:
            outcome = self._judge()
        finally:
            self._stage.take_down()
        return self._conclude(outcome, interrupted=interrupted)

    def _announce(self) -> None:
        say, port, verifier_key = self._narrator.say, self._stage.port, self._run.public_key("verifier")
        say(f"everything is up; broker on {HOST}:{port}, anonymous, this machine only. In another terminal:")
        self._narrator.print(  # without a time in front, so that each line can be copied
            f"  mosquitto_sub -p {port} -t 'attestream/v1/results/+' -F '%t %l bytes'",
            f"  {watch_command()} --port {port} --verifier-key {shlex.quote(str(verifier_key))}",
        )
        if self._stage.dashboard_url:
            say(f"dashboard, in a browser on this machine: {self._stage.dashboard_url}")
        say(f"keys, logs, configurations: {self._run.root}{'' if self._options.keep else ' (until the demo ends)'}")

    def _run_scenario(self) -> None:
        devices = self._stage.devices
        self._histories = {device.name: History() for device in devices}
        names = {device.ueid: device.name for device in devices if device.ueid is not None}
        use_plain = self._options.plain or not sys.stdout.isatty()
        screen: Screen = (
            PlainScreen(self._narrator, names) if use_plain else LiveScreen(self._narrator, names, Console())
        )
        started_s = clock.monotonic_s()
        try:
            while not self._stop.requested:
                at_s = clock.monotonic_s() - started_s
                if self._options.seconds is not None and at_s >= self._options.seconds:
                    break
                self._turn(screen, at_s, names)
        finally:
            screen.close()

    def _turn(self, screen: Screen, at_s: float, names: Mapping[Ueid, str]) -> None:
        for name in self._stage.look_after():
            screen.report(f"{name} was killed by somebody: started again")
        self._perform_due(screen, at_s)
        changed = self._stage.feed.drain(REFRESH_S)
        for standing in changed:
            device = names.get(standing.result.ueid)
            if device is not None:
                self._histories[device].moments.append(Moment(at_s=at_s, standing=standing))
        now_us = clock.utc_us()
        screen.show(changed, self._stage.feed.board.standings(now_us // SECOND_US), now_us, self._footer(at_s))

    def _perform_due(self, screen: Screen, at_s: float) -> None:
        """Performs the next step if it is due; one at a time, in order."""
        if not self._waiting or self._waiting[0].at_s > at_s:
            return
        step = self._waiting[0]
        name = self._stage.devices[step.device - 1].name
        history = self._histories[name]
        if self._stage.perform(step, history):
            del self._waiting[0]
            history.actions.setdefault(step.action, []).append(at_s)
            screen.report(step.line.format(device=name))

    def _footer(self, at_s: float) -> str:
        counts = self._stage.observer.counts()
        seconds = self._options.seconds
        end = "Ctrl-C stops everything" if seconds is None else f"{max(0.0, seconds - at_s):.0f} s left"
        return (
            f"{counts.get(TopicKind.HANDLES, 0)} handles, {counts.get(TopicKind.EVIDENCE, 0)} pushes of evidence; {end}"
        )

    def _judge(self) -> Outcome:
        stage = self._stage
        finals: dict[str, Standing | None] = {}
        expectations: list[Expectation] = []
        counts: dict[str, int] = {}
        refused: dict[str, int] = {}
        for device in stage.devices:
            history = self._histories.setdefault(device.name, History())
            final = None
            if device.ueid is not None:
                final = stage.feed.board.standing(device.ueid, clock.utc_s())
            finals[device.name] = final
            expectations += judge(device.name, self._plan.roles.get(device.number, Role.STEADY), history, final)
        if stage.is_observing:
            counts, refused = stage.observer.counts(), dict(stage.feed.refused)
        return Outcome(
            plan=self._plan,
            devices=stage.devices,
            histories=self._histories,
            finals=finals,
            expectations=expectations,
            counts=counts,
            refused=refused,
            restarts={child.name: child.restarts for child in stage.children.running if child.restarts},
            problem=self._problem,
        )

    def _conclude(self, outcome: Outcome, *, interrupted: bool) -> int:
        """Prints the summary, writes the report; returns the exit status."""
        if interrupted:
            self._narrator.say("stopped before the scenario was over")
        if self._histories and any(history.moments for history in self._histories.values()):
            self._narrator.print(*summary(outcome, self._run.root, interrupted=interrupted))
            if self._options.keep is not None:
                self._narrator.print(f"check the verifier's audit log: {fsck_command(self._run)}")
        elif self._problem:
            self._narrator.print(f"The demo failed: {self._problem}")
        if self._options.report is not None:
            kept = self._options.keep is not None
            try:
                write_report(outcome, self._options.report, self._run, self._stage.port, kept=kept)
            except DemoError as error:
                self._narrator.print(f"error: {error}")
                return EXIT_FAILED
        if interrupted:
            return EXIT_INTERRUPTED
        return EXIT_OK if outcome.as_expected else EXIT_FAILED


def play(options: Options, stop: Stop) -> int:
    """Runs one demonstration in a temporary directory, or in the one to keep; returns the exit status."""
    with temporary_folder() as temporary:
        root = temporary if options.keep is None else options.keep.absolute()
        sockets = temporary / "s"
        sockets.mkdir()
        return Show(options, RunDirectory(root, sockets), stop).play()


def fsck_command(run: RunDirectory) -> str:
    """The command that checks the kept audit log."""
    log, key, root = run.verifier / "audit", run.keys / "audit.vkey", run.tsa / ROOT_FILE
    return f"{_relying_party()} audit fsck {shlex.join([str(log), '--log-key', str(key), '--tsa-root', str(root)])}"


def watch_command() -> str:
    """The command that follows results."""
    return f"{_relying_party()} watch"


def _relying_party() -> str:
    """The installed command of this environment, or the package if it is not installed."""
    script = Path(sys.executable).with_name("relying-party")
    if script.is_file():
        return shlex.quote(str(script))
    return f"{shlex.quote(sys.executable)} -m relying_party"
