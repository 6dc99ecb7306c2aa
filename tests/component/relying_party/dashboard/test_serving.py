"""A dashboard whose feed has died: it ends, and until then it does not call itself healthy."""

import asyncio
import threading
from pathlib import Path

import httpx
import pytest

from relying_party.dashboard.access import OpenAccess
from relying_party.dashboard.events import Events
from relying_party.dashboard.feed import Feed
from relying_party.dashboard.serving import serve
from relying_party.dashboard.settings import DashboardSettings, WebSettings
from relying_party.dashboard.web import make_app
from runtime.keys import generate_key_pair
from runtime.mqtt import MqttConnection, MqttSettings
from runtime.service import Stop
from tests.programs.waiting import PATIENCE_S


@pytest.fixture
def settings(tmp_path: Path) -> DashboardSettings:
    generate_key_pair(tmp_path / "verifier.key")
    return DashboardSettings(
        verifier_keys=(tmp_path / "verifier.pub",),
        web=WebSettings(listen="127.0.0.1:0"),
        mqtt=MqttSettings(port=9),
    )


def test_the_server_ends_with_what_ended_the_feed(settings: DashboardSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_feed: Feed) -> bool:
        raise RuntimeError("a bug in the feed")

    monkeypatch.setattr(Feed, "_take_slice", broken)
    stop = Stop()
    rescue = threading.Timer(PATIENCE_S, stop.request)  # else a server that goes on would keep the test for ever
    rescue.start()
    try:
        with pytest.raises(RuntimeError, match="a bug in the feed"):
            serve(settings, stop, lambda _address: None)
    finally:
        rescue.cancel()
    assert not stop.requested


def test_a_feed_that_does_not_run_is_not_healthy(settings: DashboardSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MqttConnection, "wait_subscribed", lambda *_: True)
    feed = Feed(settings)
    app = make_app(feed, Events(feed, 1), OpenAccess(settings))

    async def status() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return (await client.get("/healthz")).status_code

    assert asyncio.run(status()) == 503
    feed.is_running = True
    assert asyncio.run(status()) == 200
