"""The screen while the system runs: a live table with the scenario under it, or plain lines."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text
from typing_extensions import override

from deploy.demo.narrator import Narrator
from relying_party.result_board import Standing
from relying_party.terminal.selection import name_of
from relying_party.terminal.table import headline_of, line_of, table_of
from schemas.identifiers import Ueid

REPORT_LINES: Final = 8


class Screen(Protocol):
    """Shows results and the scenario's lines. Used from one thread."""

    def report(self, text: str) -> None:
        """Adds a line about a step of the scenario."""

    def show(self, changed: Sequence[Standing], standings: Sequence[Standing], now_us: int, footer: str) -> None:
        """Shows the present standings.

        Args:
            changed: the results that arrived since the last call, in order.
            standings: of every attester.
            now_us: UTC microseconds.
            footer: counts and times.
        """

    def close(self) -> None:
        """Restores the terminal."""


class PlainScreen(Screen):
    """A line for each step of the scenario, and for each change of an attester's standing."""

    def __init__(self, narrator: Narrator, names: Mapping[Ueid, str]) -> None:
        """Prints nothing yet.

        Args:
            narrator: prints lines.
            names: of the attesters.
        """
        self._narrator = narrator
        self._names = names
        self._headlines: dict[Ueid, tuple[object, ...]] = {}

    @override
    def report(self, text: str) -> None:
        self._narrator.say(f">> {text}")

    @override
    def show(self, changed: Sequence[Standing], standings: Sequence[Standing], now_us: int, footer: str) -> None:
        for standing in [*changed, *standings]:
            headline = headline_of(standing)
            if self._headlines.get(standing.result.ueid) != headline:
                self._headlines[standing.result.ueid] = headline
                self._narrator.say(line_of(standing, now_us, self._names))

    @override
    def close(self) -> None:
        """Does nothing."""


class LiveScreen(Screen):
    """A table that changes in place, and the scenario's lines under it."""

    def __init__(self, narrator: Narrator, names: Mapping[Ueid, str], console: Console) -> None:
        """Starts to use the terminal's last lines.

        Args:
            narrator: knows the time since the start.
            names: of the attesters.
            console: the terminal.
        """
        self._narrator = narrator
        self._names = names
        self._lines: deque[str] = deque(maxlen=REPORT_LINES)
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    @override
    def report(self, text: str) -> None:
        self._lines.append(f"[{self._narrator.seconds:6.1f} s] {text}")

    @override
    def show(self, changed: Sequence[Standing], standings: Sequence[Standing], now_us: int, footer: str) -> None:
        waiting = sorted(set(self._names.values()) - {name_of(standing, self._names) for standing in standings})
        lines = max(2, min(REPORT_LINES, self._live.console.height - len(standings) - 8))
        report = Text("\n".join(list(self._lines)[-lines:]), no_wrap=True, overflow="ellipsis")
        parts: list[RenderableType] = [
            Rule("attestation results, as a relying party sees them"),
            table_of(standings, now_us, self._names, self._live.console.width),
            Text(f"no result yet: {', '.join(waiting)}" if waiting else "", style="dim"),
            Panel(report, title="steps of the demo", height=lines + 2, title_align="left"),
            Text(footer, style="dim"),
        ]
        self._live.update(Group(*parts), refresh=True)

    @override
    def close(self) -> None:
        self._live.stop()
