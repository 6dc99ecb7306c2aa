"""Alive and ready: the results of checks, the report of a stalled loop, and the answers of the page."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from prometheus_client import REGISTRY

from handle_distributor.settings import Settings
from runtime.monitoring.health import Condition, Health
from runtime.monitoring.metrics_page import MAX_REQUESTS, MetricsPage, serve_metrics
from runtime.settings import build
from runtime.telemetry import check_metrics_address
from schemas.errors import ConfigError
from tests.programs.mosquitto import free_port
from tests.programs.waiting import PATIENCE_S

GOOD = Condition(ok=True, state="writable")
BAD = Condition(ok=False, state="disk full", next="make room")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health("test", monotonic_s=clock, stalled_after_s=10)


@pytest.fixture
def page(health: Health) -> Iterator[MetricsPage]:
    page = MetricsPage(0, "127.0.0.1", health)
    yield page
    page.close()


def get(page: MetricsPage, path: str, method: str = "GET") -> tuple[int, str, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()


def test_a_loop_that_goes_round_is_alive_and_one_that_does_not_is_not(clock: Clock, health: Health) -> None:
    assert health.alive().ok
    clock.now_s += 10
    assert health.alive().ok
    clock.now_s += 0.1
    assert not health.alive().ok
    assert not health.ready().ok
    health.beat()
    assert health.alive().ok


def test_ready_is_every_check_and_each_says_what_to_do(health: Health) -> None:
    health.report("store", GOOD)
    health.ask("broker", lambda: GOOD)
    assert health.ready().ok
    health.report("store", BAD)
    report = health.ready()
    assert not report.ok
    assert (report.checks["store"], report.checks["broker"].ok) == (BAD, True)
    assert health.alive().ok, "a restart would not mend a full disk"


def test_a_check_that_raises_is_not_ready_and_takes_nobody_down(health: Health) -> None:
    def broken() -> Condition:
        raise ZeroDivisionError

    health.ask("odd", broken)
    assert not health.ready().ok
    assert "ZeroDivisionError" in health.ready().checks["odd"].state


def test_checks_are_a_metric(health: Health) -> None:
    health.report("store", BAD)
    assert REGISTRY.get_sample_value("attestream_check_ok", {"check": "store"}) == 0
    health.report("store", GOOD)
    assert REGISTRY.get_sample_value("attestream_check_ok", {"check": "store"}) == 1


def test_the_page_answers_with_a_status_and_json(page: MetricsPage, clock: Clock, health: Health) -> None:
    health.report("store", GOOD)
    assert get(page, "/readyz")[:2] == (200, "application/json")
    health.report("store", BAD)
    status, _, body = get(page, "/readyz")
    assert status == 503
    assert json.loads(body)["checks"]["store"] == {"ok": False, "state": "disk full", "next": "make room"}
    assert get(page, "/healthz")[0] == 200
    clock.now_s += 60
    status, _, body = get(page, "/healthz")
    assert (status, json.loads(body)["role"]) == (503, "test")


def test_the_page_shows_metrics_in_both_formats_and_nothing_else(page: MetricsPage) -> None:
    status, content_type, body = get(page, "/metrics")
    assert (status, content_type.partition(";")[0]) == (200, "text/plain")
    assert "process_start_time_seconds" in body
    assert get(page, "/metrics?name=x", "HEAD")[::2] == (200, "")
    assert get(page, "/")[0] == 200
    assert get(page, "/../etc/passwd")[0] == 404
    assert get(page, "/metrics", "POST")[0] == 501


def test_who_asks_and_says_nothing_does_not_stop_the_others_for_good(page: MetricsPage) -> None:
    idle = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(MAX_REQUESTS)]
    try:
        with socket.create_connection(("127.0.0.1", page.port), timeout=PATIENCE_S) as one_more:
            assert one_more.recv(1) == b"", "turned away at once"
    finally:
        for each in idle:
            each.close()
    for _ in range(100):
        try:
            assert get(page, "/healthz")[0] == 200
            break
        except (http.client.RemoteDisconnected, ConnectionResetError):
            continue  # the threads of those that hung up are still ending
    else:
        pytest.fail("no answer after they had hung up")


def test_nonsense_does_not_stop_the_page(page: MetricsPage) -> None:
    for nonsense in (b"\0" * 100, b"GET\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"x" * 70_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", page.port), timeout=PATIENCE_S) as stranger:
            stranger.sendall(nonsense)
            stranger.shutdown(socket.SHUT_WR)
            stranger.recv(100)
    assert get(page, "/healthz")[0] == 200


def test_a_port_that_is_taken_is_a_configuration_error(page: MetricsPage, health: Health) -> None:
    with pytest.raises(ConfigError, match=f"metrics_port: 127.0.0.1:{page.port}"):
        serve_metrics(page.port, health)


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 300])
def test_a_host_that_is_not_ours_is_a_configuration_error(health: Health, host: str) -> None:
    with pytest.raises(ConfigError, match="metrics_host"):
        serve_metrics(free_port(), health, host=host)


@pytest.mark.parametrize(
    ("port", "host", "named"),
    [
        (-1, "127.0.0.1", "metrics_port: -1"),
        (65_536, "::1", "metrics_port"),
        (1, "", "metrics_host"),
        (1, "x", "metrics_host"),
    ],
)
def test_an_address_that_is_none_is_named_before_any_work(port: int, host: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        check_metrics_address(port, host)
    with pytest.raises(ConfigError, match=named):
        build(
            f'metrics_port = {port}\nmetrics_host = "{host}"\nname = "x"\n'
            'signing_key = "k"\nstate_file = "s"\n[tsa]\nurls = ["http://h/"]\nroots = ["r"]\n',
            Settings,
            "distributor.toml",
        )


def test_port_0_means_no_page_but_the_build_is_known(health: Health) -> None:
    serve_metrics(0, health)
    builds = [
        sample.labels["role"]
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == "attestream_build_info"
    ]
    assert "test" in builds
