"""Sends changes to every open page: server-sent events, a few per second, each with all changes since the last one.

The server keeps no queue per page, only the revision that the page has. When the page can take more, it gets the
attesters that have changed since then, in their current state. So a slow page costs no more than a fast one; it skips
intermediate states. A page that missed a removal, or connected to an earlier process, is told to fetch the whole fleet
again.
"""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from typing import Final

from prometheus_client import Gauge

from relying_party.dashboard.feed import Feed
from relying_party.dashboard.process_status import state_of
from relying_party.dashboard.rows import rows_json, timeline_of
from runtime import clock
from schemas.identifiers import ueid_text
from schemas.instants import SECOND_US

TICK_S: Final = 0.2
STATE_EVERY_S: Final = 2.0
MAX_STREAM_S: Final = 300.0  # then the browser connects again, and its session is checked again
MAX_ROWS: Final = 3_000  # in one event; a page further behind fetches the whole fleet instead
_REVISION_DIGITS: Final = 18
_VIEWERS: Final = Gauge("attestream_dashboard_viewers", "Pages that follow")


class TooManyViewersError(Exception):
    """The maximum number of pages follows already."""


class Events:
    """All open pages. Owned by the thread of the event loop."""

    def __init__(self, feed: Feed, max_viewers: int) -> None:
        """Starts without a page.

        Args:
            feed: the source of the changes.
            max_viewers: pages that may follow at the same time.
        """
        self.run_id: Final = clock.random_bytes(6).hex()
        self._feed = feed
        self._max_viewers = max_viewers
        self._viewers = 0
        self._closing = False

    def close(self) -> None:
        """Ends all streams at their next tick."""
        self._closing = True

    def open(self, position: str) -> AsyncIterator[str]:
        """The events after a position.

        Args:
            position: ``RUN-REVISION``, from an event's id or from the snapshot.

        Raises:
            TooManyViewersError: there is no room for another page.
        """
        if self._viewers >= self._max_viewers:
            raise TooManyViewersError
        run_id, _, revision = position.partition("-")
        is_number = revision.isdecimal() and len(revision) <= _REVISION_DIGITS
        known = int(revision) if run_id == self.run_id and is_number else -1
        return self._follow(known)

    async def _follow(self, revision: int) -> AsyncIterator[str]:
        self._viewers += 1
        _VIEWERS.set(self._viewers)
        try:
            state, state_at_s = "", float("-inf")
            ends_s = clock.monotonic_s() + MAX_STREAM_S
            while not self._closing and clock.monotonic_s() < ends_s:
                for event in self._news(revision):
                    yield event
                revision = self._feed.fleet.revision
                now_s = clock.monotonic_s()
                fresh = state_json(self._feed)
                if fresh != state or now_s >= state_at_s + STATE_EVERY_S:
                    state, state_at_s = fresh, now_s
                    yield self._event("state", f'{{"now":{clock.utc_us() / SECOND_US},"state":{fresh}}}', revision)
                await asyncio.sleep(TICK_S)
        finally:
            self._viewers -= 1
            _VIEWERS.set(self._viewers)

    def _news(self, revision: int) -> list[str]:
        fleet = self._feed.fleet
        if revision == fleet.revision:
            return []
        news = fleet.since(revision)
        if news is None or len(news[0]) > MAX_ROWS:
            return [self._event("refetch", "{}", fleet.revision)]
        changed, gone = news
        names = json.dumps([ueid_text(ueid) for ueid in gone])
        content = f'{{"rows":{rows_json(fleet, changed)},"gone":{names},"now":{clock.utc_us() / SECOND_US}}}'
        return [self._event("rows", content, fleet.revision)]

    def _event(self, name: str, content: str, revision: int) -> str:
        return f"event: {name}\nid: {self.run_id}-{revision}\ndata: {content}\n\n"


async def compressed(events: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """The same stream for a browser that takes gzip; every event is flushed."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    async for event in events:
        yield squeeze.compress(event.encode()) + squeeze.flush(zlib.Z_SYNC_FLUSH)


def state_json(feed: Feed) -> str:
    """The state of the feed, and the last point of the fleet's time line."""
    return json.dumps(state_of(feed), separators=(",", ":"))


def snapshot_json(feed: Feed, run_id: str) -> str:
    """The whole fleet, and the position from which events continue."""
    fleet = feed.fleet
    head = {
        "position": f"{run_id}-{fleet.revision}",
        "started": feed.started_s,
        "now": clock.utc_us() / SECOND_US,
        "state": state_of(feed),
        "timeline": timeline_of(fleet),
    }
    return f'{json.dumps(head, separators=(",", ":"))[:-1]},"rows":{rows_json(fleet, fleet.devices())}}}'
