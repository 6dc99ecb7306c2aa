"""How long a screen of 10,000 attesters takes to draw, and a tick of the alert service, beside verifying one result.

python -m tests.bench.fleet_view [--attesters 10000]
"""

import argparse
import io
import time
from collections.abc import Callable

from rich.console import Console

from relying_party.alerts.ledger import AlertLedger
from relying_party.alerts.rules import Rule
from relying_party.alerts.silence import Silence, SilenceSettings
from relying_party.alerts.storms import Storms, StormSettings
from relying_party.result_board import ResultBoard, result_keys, standing_of
from relying_party.terminal.selection import Selection, SortKey, select, summary_of
from relying_party.terminal.table import table_of
from schemas.codecs import cose
from schemas.identifiers import Ueid
from schemas.verdicts import Freshness, Tier
from tests.fakes.relying_party import ALICE, NOW_S, TOPICS, VERIFIER_KEY, message_of, result_about

SCREEN_ROWS, WIDTH = 50, 160


def milliseconds(work: Callable[[], object], times: int = 5) -> float:
    """The best of some runs."""
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best * 1000


def main() -> None:
    """Prints the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attesters", type=int, default=10_000)
    count = parser.parse_args().attesters
    fleet = [
        standing_of(
            result_about(
                Ueid(b"\x01" + number.to_bytes(32, "big")),
                claims={"label": f"rack-{number:05}"},
                status=Tier.NONE if number % 9 == 0 else Tier.AFFIRMING,
                freshness=Freshness.STALE if number % 9 == 0 else Freshness.FRESH,
                made_after_us=NOW_S * 1_000_000 - number,
            ),
            NOW_S,
        )
        for number in range(count)
    ]

    def draw() -> None:
        rows = select(fleet, Selection(text="rack", sort=SortKey.STATUS), {})
        console = Console(file=io.StringIO(), width=WIDTH, force_terminal=True)
        console.print(summary_of(fleet, len(rows), 0))
        console.print(table_of(rows[:SCREEN_ROWS], NOW_S * 1_000_000, {}, WIDTH, one_line_each=True))

    def tick() -> None:
        silence = Silence(SilenceSettings(), (), 0.0)
        ledger = AlertLedger([Rule(name="all")], Storms(StormSettings(), (), 0.0), silence, (), b"", 0)
        ledger.mark_stored(ledger.tick(fleet, {}, NOW_S, 0.0), 0.0)

    message = message_of(result_about())
    keys = result_keys({cose.key_id(VERIFIER_KEY.public_key()): VERIFIER_KEY.public_key()})
    floor = milliseconds(lambda: ResultBoard(keys).apply(TOPICS.results(ALICE), message, NOW_S), 50)
    print(f"floor: one result verified            {floor:9.3f} ms")
    for name, work in ((f"screen of {count} attesters", draw), (f"tick over {count} changes", tick)):
        took = milliseconds(work)
        print(f"{name:<37} {took:9.3f} ms  {took / floor:9.1f} x the floor")


if __name__ == "__main__":
    main()
