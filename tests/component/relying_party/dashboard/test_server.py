"""The dashboard's server without a browser: its data, its headers, its streams, and readers that are slow or many."""

import base64
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from runtime.keys import generate_key_pair
from schemas.codecs.cose import key_id
from schemas.codecs.jwks import parse_jwks
from schemas.identifiers import ueid_text
from schemas.messages import result_token
from schemas.messages.result_token import result_keys
from tests.programs.dashboard_rig import (
    ROOT,
    Dashboard,
    contraindicated,
    result_now,
    running_dashboard,
    started,
    ueid_of,
)
from tests.programs.mosquitto import free_port
from tests.programs.waiting import PATIENCE_S, stop_process, wait_until

pytestmark = pytest.mark.needs("mosquitto")


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[Dashboard]:
    with running_dashboard(tmp_path) as dashboard:
        yield dashboard


def events(lines: Iterator[str], wanted: str) -> Iterator[dict[str, object]]:
    """The contents of the events with one name."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: ") and name == wanted:
            yield json.loads(line.removeprefix("data: "))


def get(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.get(url, headers=headers, timeout=PATIENCE_S)


def fleet_of(dashboard: Dashboard, rows: int) -> dict[str, object]:
    """The snapshot, once it has this many rows."""
    fleet: dict[str, object] = {}

    def arrived() -> bool:
        fleet.update(client.get("api/fleet").json())
        return len(rows_in(fleet)) >= rows

    with httpx.Client(base_url=dashboard.url, timeout=PATIENCE_S) as client:
        try:
            wait_until(arrived, f"{rows} rows")
        except AssertionError as error:
            error.add_note(f"{len(rows_in(fleet))} rows; {fleet['state']}")
            raise
    return fleet


def rows_in(fleet: dict[str, object]) -> list[object]:
    found = fleet["rows"]
    assert isinstance(found, list)
    return found


def test_every_answer_fences_the_browser_in(dashboard: Dashboard) -> None:
    for path in ("", "static/app.js", "api/about", "nothing", "static/../pyproject.toml", "api/attester/x"):
        answer = get(dashboard.url + path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "set-cookie" not in answer.headers
    assert get(f"{dashboard.url}api/attester/x").status_code == 400
    assert get(f"{dashboard.url}api/attester/{ueid_text(ueid_of(1))}").status_code == 404


def test_a_page_of_another_name_cannot_read_it(dashboard: Dashboard) -> None:
    assert get(f"{dashboard.url}api/fleet", headers={"Host": "rebound.example"}).status_code == 403
    port = urlsplit(dashboard.url).port
    assert get(f"{dashboard.url}api/fleet", headers={"Host": f"localhost:{port}"}).status_code == 200


def test_what_it_serves_can_be_verified_by_somebody_else(dashboard: Dashboard) -> None:
    dashboard.publish(contraindicated(3))
    fleet_of(dashboard, 1)
    jwks = get(f"{dashboard.url}api/keys").content
    detail = get(f"{dashboard.url}api/attester/{ueid_text(ueid_of(3))}").json()
    raw = base64.b64decode(detail["raw"])
    keys = result_keys({key_id(key): key for key in parse_jwks(jwks)})
    assert result_token.verify(raw, keys).status == "contraindicated"


def test_many_pages_at_once_get_the_same_whole_fleet(dashboard: Dashboard) -> None:
    dashboard.publish_many([result_now(number) for number in range(1, 301)])
    fleet_of(dashboard, 300)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: get(f"{dashboard.url}api/fleet"), range(24)))
    assert {len(answer.json()["rows"]) for answer in answers} == {300}


def test_events_go_on_from_the_snapshot(dashboard: Dashboard) -> None:
    dashboard.publish(result_now(1))
    fleet = fleet_of(dashboard, 1)
    with httpx.stream("GET", f"{dashboard.url}api/events?since={fleet['position']}", timeout=PATIENCE_S) as stream:
        assert stream.headers["Content-Encoding"] == "gzip"
        news = events(stream.iter_lines(), "rows")
        dashboard.publish(contraindicated(1))
        rows = next(news)["rows"]
        assert isinstance(rows, list)
        assert [(row[0], row[2]) for row in rows] == [(ueid_text(ueid_of(1)), "contraindicated")]


@pytest.mark.parametrize("position", ["", "0123456789ab-7", "nonsense", "-", "x-99999999999999999999"])
def test_whoever_comes_from_elsewhere_fetches_the_fleet_again(dashboard: Dashboard, position: str) -> None:
    dashboard.publish(result_now(1))
    fleet_of(dashboard, 1)
    with httpx.stream("GET", f"{dashboard.url}api/events?since={position}", timeout=PATIENCE_S) as stream:
        assert next(events(stream.iter_lines(), "refetch")) == {}


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_a_reader_that_does_not_read_costs_nothing_and_misses_nothing_that_stands(dashboard: Dashboard) -> None:
    dashboard.publish_many([result_now(number) for number in range(1, 501)])
    fleet = fleet_of(dashboard, 500)
    address = urlsplit(dashboard.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as slow:
        path = f"/api/events?since={fleet['position']}"
        slow.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert slow.recv(12) == b"HTTP/1.1 200"
        before = resident_bytes(dashboard.process.pid)
        for _ in range(12):
            dashboard.publish_many([result_now(number) for number in range(1, 501)])
            fleet_of(dashboard, 500)
        grown = resident_bytes(dashboard.process.pid) - before
        assert grown < 40_000_000, "what a reader does not take is not kept for it"
        dashboard.publish(contraindicated(7))
        found = b""
        slow.settimeout(PATIENCE_S)
        while b"contraindicated" not in found:
            found = found[-64:] + slow.recv(65_536)


def test_as_many_may_follow_as_the_settings_say(tmp_path: Path) -> None:
    config = '[web]\nlisten = "127.0.0.1:0"\nmax_viewers = 2\n'
    with running_dashboard(tmp_path, config=config) as dashboard, contextlib.ExitStack() as stack:
        url = f"{dashboard.url}api/events"
        following = []  # a stream whose reader is forgotten is closed
        for _ in range(2):
            stream = stack.enter_context(httpx.stream("GET", url, timeout=PATIENCE_S))
            following.append(events(stream.iter_lines(), "state"))
            assert next(following[-1])
        with httpx.stream("GET", url, timeout=PATIENCE_S) as stream:
            assert stream.status_code == 503
        stack.close()
        ends_s = time.monotonic() + PATIENCE_S
        status = 503
        while status == 503 and time.monotonic() < ends_s:
            with httpx.stream("GET", url, timeout=PATIENCE_S) as stream:
                status = stream.status_code
        assert status == 200


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_while_pages_follow(dashboard: Dashboard, how: signal.Signals, tmp_path: Path) -> None:
    with httpx.stream("GET", f"{dashboard.url}api/events", timeout=PATIENCE_S) as stream:
        assert next(events(stream.iter_lines(), "state"))
        dashboard.process.send_signal(how)
        assert dashboard.process.wait(PATIENCE_S) == 0
    assert "Traceback" not in (tmp_path / "dashboard.log").read_text()


def test_a_taken_port_is_named(tmp_path: Path, dashboard: Dashboard) -> None:
    port = urlsplit(dashboard.url).port
    command = [sys.executable, "-m", "relying_party", "dashboard", "--verifier-key", str(tmp_path / "verifier.pub")]
    ended = subprocess.run(
        [*command, "--listen", f"127.0.0.1:{port}"], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert ended.returncode == 2
    assert f"web.listen: 127.0.0.1:{port}" in ended.stderr


def test_it_serves_before_there_is_a_broker(tmp_path: Path, dashboard: Dashboard) -> None:
    command = [sys.executable, "-m", "relying_party", "dashboard", "--verifier-key", str(tmp_path / "verifier.pub")]
    with started([*command, "--port", "9", "--listen", "127.0.0.1:0"], tmp_path / "second.log") as (url, _):
        assert get(f"{url}healthz").status_code == 503
        assert get(f"{url}api/fleet").json()["state"]["connected"] is False


def test_it_follows_again_after_it_was_killed(tmp_path: Path, dashboard: Dashboard) -> None:
    dashboard.publish(result_now(1), contraindicated(2))
    stop_process(dashboard.process, signal.SIGKILL, PATIENCE_S)
    command = [sys.executable, "-m", "relying_party", "dashboard", "--verifier-key", str(tmp_path / "verifier.pub")]
    command += ["--port", str(dashboard.broker.port), "--listen", "127.0.0.1:0"]
    with started(command, tmp_path / "again.log") as (url, _):
        ends_s = time.monotonic() + PATIENCE_S
        rows: list[list[object]] = []
        while len(rows) < 2 and time.monotonic() < ends_s:
            rows = get(f"{url}api/fleet").json()["rows"]
        assert {str(row[2]) for row in rows} == {"affirming", "contraindicated"}, "results are retained"


def test_operators_have_a_page_of_metrics(tmp_path: Path, dashboard: Dashboard) -> None:
    port = free_port()
    (tmp_path / "dashboard.toml").write_text(
        f'verifier_keys = ["verifier.pub"]\nmetrics_port = {port}\n[mqtt]\nport = {dashboard.broker.port}\n'
        '[web]\nlisten = "127.0.0.1:0"\n'
    )
    command = [sys.executable, "-m", "relying_party", "dashboard", "--config", str(tmp_path / "dashboard.toml")]
    with started(command, tmp_path / "metrics.log"):
        ends_s = time.monotonic() + PATIENCE_S
        ready = get(f"http://127.0.0.1:{port}/readyz")
        while ready.status_code != 200 and time.monotonic() < ends_s:
            ready = get(f"http://127.0.0.1:{port}/readyz")
        assert ready.json()["checks"]["broker"]["ok"]
        assert get(f"http://127.0.0.1:{port}/healthz").json()["ok"]
        assert "attestream_dashboard_attesters" in get(f"http://127.0.0.1:{port}/metrics").text


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    """As in an environment without the extra: the import of uvicorn fails."""
    generate_key_pair(tmp_path / "verifier.key")
    program = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from relying_party.__main__ import main\n"
        f"sys.exit(main(['dashboard', '--verifier-key', {str(tmp_path / 'verifier.pub')!r}]))"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr == "configuration error: uvicorn is not installed: pip install 'attestream[dashboard]'\n"
