"""The dashboard at fleet size: a real browser, a real broker, attesters that push signed results all the time.

    python -m tests.bench.dashboard --attesters 10000 --rate 300 --minutes 5

Measured: time to first paint and to the first rows; time from a result's publication to its pixel (a mutation of its
row in the document, then the next frame), beside a floor: the same message to a subscriber that only acknowledges it.
And memory of server and page, at start and at the end. The signing of a result is in none of these times.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from playwright.sync_api import Page
from typing_extensions import override

from schemas.identifiers import ueid_text
from schemas.messages import result_token
from schemas.verdicts import Tier, TrustClaim
from tests.programs.dashboard_rig import (
    AFFIRMING_VECTOR,
    DESK,
    TOPICS,
    Dashboard,
    chromium,
    looking,
    result_now,
    running_dashboard,
    ueid_of,
)
from tests.programs.mqtt_client import Listener, listening
from tests.programs.waiting import PATIENCE_S

SAMPLE_EVERY_S: Final = 2.0
GIVE_UP_S: Final = 60.0
POLL_MS: Final = 100
WATCHED: Final = 1  # its verdict flips; it stays in sight
MIB: Final = 1024 * 1024
# The page notes when the row of the watched device has changed and the browser has drawn a frame since.
WATCH_ROW: Final = """(ueid) => {
  globalThis.seen = [];
  const look = () => {
    const row = document.querySelector(`[data-ueid="${ueid}"]`);
    const view = row?.dataset.view;
    if (view && view !== globalThis.last) {
      globalThis.last = view;
      requestAnimationFrame(() => setTimeout(() => globalThis.seen.push([view, Date.now()]), 0));
    }
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
  look();
}"""


class Pushers(threading.Thread):
    """Attesters in turn, each with a fresh result, at a rate. Owned by itself; stops when told."""

    def __init__(self, dashboard: Dashboard, attesters: int, rate: float) -> None:
        super().__init__(daemon=True)
        self._dashboard, self._attesters, self._interval_s = dashboard, attesters, 1 / rate
        self.stop = threading.Event()
        self.sent = 0

    @override
    def run(self) -> None:
        due_s = time.monotonic()
        while not self.stop.is_set():
            number = WATCHED + 1 + self.sent % (self._attesters - 1)
            result = result_now(number, expires_s=int(time.time()) + 600)
            token = self._dashboard.signer.sign(result)
            self._dashboard.publisher.publish_soon(TOPICS.results(result.ueid), result_token.wrap(token))
            self.sent += 1
            due_s += self._interval_s
            self.stop.wait(max(0.0, due_s - time.monotonic()))


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / MIB


def heap_mib(page: Page) -> float:
    """What the page's scripts hold, after a garbage collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return float(used) / MIB


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of all lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measure(dashboard: Dashboard, page: Page, attesters: int, rate: float, minutes: float) -> dict[str, float]:
    """One run; all times in milliseconds, memory in MiB."""
    dashboard.publish_many(
        [result_now(number, expires_s=int(time.time()) + 3600) for number in range(1, attesters + 1)]
    )
    _wait_for_fleet(page, dashboard, attesters)
    page.goto(dashboard.url)
    page.wait_for_selector(".body .row")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    rows = page.evaluate("performance.now()")
    page.evaluate(WATCH_ROW, ueid_text(ueid_of(WATCHED)))
    server_before, page_before = resident_mib(dashboard.process.pid), heap_mib(page)
    pushers = Pushers(dashboard, attesters, rate)
    pushers.start()
    started_s = time.monotonic()
    pixels: list[float] = []
    floors: list[float] = []
    with listening(dashboard.broker.port, TOPICS.results(ueid_of(WATCHED))) as heard:
        while time.monotonic() < started_s + 60 * minutes:
            pixel, floor = _flip(dashboard, page, heard, len(pixels))
            pixels.append(pixel)
            floors.append(floor)
            page.wait_for_timeout(1000 * SAMPLE_EVERY_S)
    pushers.stop.set()
    pushers.join()
    took_s = time.monotonic() - started_s
    return {
        "attesters": attesters,
        "results per second": pushers.sent / took_s,
        "minutes": took_s / 60,
        "first paint, ms": paint,
        "first rows, ms": rows,
        "result to pixel, median, ms": statistics.median(pixels),
        "result to pixel, p95, ms": percentile(pixels, 0.95),
        "floor (broker to a subscriber), median, ms": statistics.median(floors),
        "floor, p95, ms": percentile(floors, 0.95),
        "server at start, MiB": server_before,
        "server at the end, MiB": resident_mib(dashboard.process.pid),
        "page at start, MiB": page_before,
        "page at the end, MiB": heap_mib(page),
        "samples": len(pixels),
    }


def _wait_for_fleet(page: Page, dashboard: Dashboard, attesters: int) -> None:
    ends_s = time.monotonic() + 10 * PATIENCE_S
    while True:
        state = page.request.get(f"{dashboard.url}api/fleet").json()["state"]
        if state["attesters"] >= attesters:
            return
        assert time.monotonic() < ends_s, f"{state['attesters']} of {attesters} attesters arrived"
        page.wait_for_timeout(200)


def _flip(dashboard: Dashboard, page: Page, heard: Listener, turn: int) -> tuple[float, float]:
    """Another verdict about the watched device: milliseconds to its pixel, and to a subscriber that does nothing."""
    bad = turn % 2 == 0
    changes: dict[str, object] = {"expires_s": int(time.time()) + 600}
    if bad:
        changes |= {"status": Tier.CONTRAINDICATED, "vector": {**AFFIRMING_VECTOR, TrustClaim.EXECUTABLES: 96}}
    result = result_now(WATCHED, **changes)
    payload = result_token.wrap(dashboard.signer.sign(result))
    messages = heard.messages
    before, count = time.time(), len(messages)
    dashboard.publisher.publish_soon(TOPICS.results(result.ueid), payload)
    heard.wait_for(lambda all_: len(all_) > count, "the result, by the idle subscriber")
    floor = time.time() - before
    ends_s = time.monotonic() + GIVE_UP_S
    while page.evaluate("globalThis.seen.length") <= turn + 1:
        assert time.monotonic() < ends_s, f"not drawn within {GIVE_UP_S} s"
        page.wait_for_timeout(POLL_MS)
    drawn_ms = page.evaluate("globalThis.seen.at(-1)[1]")
    return drawn_ms - 1000 * before, 1000 * floor


def main(arguments: list[str] | None = None) -> int:
    """Runs the bench; prints a line for each number."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.dashboard", description="The dashboard at fleet size.")
    parser.add_argument("--attesters", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=300.0, help="results per second (default: %(default)g)")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long they push (default: %(default)g)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_dashboard(Path(folder)) as dashboard,
        chromium() as browser,
        looking(browser, viewport=DESK) as look,
    ):
        numbers = measure(dashboard, look.page, given.attesters, given.rate, given.minutes)
        look.keep(f"fleet-{given.attesters}")
        assert look.complaints == []
    if given.json:
        print(json.dumps(numbers))
        return 0
    for name, value in numbers.items():
        print(f"{name:45} {value:10.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
