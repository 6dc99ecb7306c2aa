"""A dashboard process, a broker, a publisher that signs results, and a real browser.

Real: Mosquitto, the process of ``relying-party dashboard``, Chromium. Attesters and verifier are only a key of the
test. Screenshots are kept in ``.cache/artefacts/dashboard``.
"""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from runtime.keys import generate_key_pair
from schemas.identifiers import HandleId, Ueid, ueid_text
from schemas.messages import result_token
from schemas.messages.result import AttestationResult
from schemas.messages.result_token import ResultFormat, ResultSigner
from schemas.reasons import Reason
from schemas.topics import Topics
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.programs.mosquitto import Mosquitto, running_mosquitto
from tests.programs.mqtt_client import Listener
from tests.programs.waiting import PATIENCE_S, stop_process

ROOT: Final = Path(__file__).resolve().parents[2]
ARTEFACTS: Final = ROOT / ".cache" / "artefacts" / "dashboard"
POLL_SECONDS: Final = 0.02
CHROMIUM: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TOPICS: Final = Topics()
US: Final = 1_000_000
DESK: Final = {"width": 1280, "height": 860}
_ADDRESS: Final = re.compile(r"dashboard on (\S+)")

AFFIRMING_VECTOR: Final = {
    TrustClaim.INSTANCE_IDENTITY: 2,
    TrustClaim.HARDWARE: 2,
    TrustClaim.CONFIGURATION: 2,
    TrustClaim.EXECUTABLES: 2,
    TrustClaim.FILE_SYSTEM: 2,
}


def ueid_of(number: int) -> Ueid:
    """The UEID of an invented device."""
    return Ueid(b"\x01" + number.to_bytes(2, "big") * 16)


def result_now(number: int, **changes: object) -> AttestationResult:
    """A result about an invented device, issued now: affirming, or with ``changes``."""
    now_us = time.time_ns() // 1000
    content: dict[str, object] = {
        "ueid": ueid_of(number),
        "environment": b"\x00\x0b" + bytes([number % 256]) * 32,
        "status": Tier.AFFIRMING,
        "freshness": Freshness.FRESH,
        "reasons": (),
        "vector": AFFIRMING_VECTOR,
        "issued_s": now_us // US,
        "expires_s": now_us // US + 60,
        "verifier": "verifier-1",
        "handle": HandleId(bytes([7]) * 32),
        "evidence": bytes([number % 256]) * 32,
        "sequence": 7,
        "made_after_us": now_us - 400_000,
        "made_before_us": now_us - 20_000,
        "received_us": now_us,
        "policies": ("fleet/3",),
        "logs": {"tcg2": 92, "ima": 480 + number},
        "claims": {"label": f"sensor-{number:04d}", "kernel-release": "6.1.0-13-amd64"},
        "verified_claims": {"secure-boot": True},
        "clock_rate_ppm": (-40, 60),
    }
    return AttestationResult(**{**content, **changes})  # type: ignore[arg-type]  # fields that exist


def contraindicated(number: int, path: str = "/usr/local/bin/unknown") -> AttestationResult:
    """A device that ran an unknown file."""
    return result_now(
        number,
        status=Tier.CONTRAINDICATED,
        reasons=(Reason.FILE_UNEXPECTED,),
        vector={**AFFIRMING_VECTOR, TrustClaim.EXECUTABLES: 96, TrustClaim.FILE_SYSTEM: 96},
        unexpected=(path,),
        unexpected_digests=("ab" * 32,),
        unexpected_total=1,
    )


@dataclass
class Dashboard:
    """One running dashboard, its broker and its publisher."""

    url: str
    broker: Mosquitto
    publisher: Listener
    signer: ResultSigner
    process: subprocess.Popen[bytes]

    def publish(self, *results: AttestationResult, form: ResultFormat = ResultFormat.JWT) -> None:
        """Publishes results as the verifier does: signed, retained."""
        signer = self.signer if form is ResultFormat.JWT else self.cwt
        for result in results:
            self.inject(result.ueid, signer.sign(result))

    def publish_many(self, results: list[AttestationResult]) -> None:
        """Publishes many results, without waiting for each; returns when the broker has the last one.

        They are retained, as the verifier's are: a dashboard that loses its connection meanwhile gets them again.
        """
        for result in results[:-1]:
            payload = result_token.wrap(self.signer.sign(result))
            self.publisher.publish_soon(TOPICS.results(result.ueid), payload, retain=True)
        self.publish(results[-1])

    def inject(self, ueid: Ueid, token: bytes) -> None:
        """Publishes any token on an attester's topic."""
        self.publisher.publish(TOPICS.results(ueid), result_token.wrap(token), retain=True)

    cwt: ResultSigner = field(default=None)  # type: ignore[assignment]  # set by running_dashboard


@contextlib.contextmanager
def running_dashboard(folder: Path, *options: str, config: str = "") -> Iterator[Dashboard]:
    """A dashboard on a free port of the loopback, with a broker of its own.

    Args:
        folder: existing, empty.
        options: further ones of ``relying-party dashboard``, without ``config``.
        config: further lines of its settings file.
    """
    key = generate_key_pair(folder / "verifier.key")
    (folder / "broker").mkdir()
    with running_mosquitto(folder / "broker", persistence=False) as broker:
        command = [sys.executable, "-m", "relying_party", "dashboard", *options]
        if config:
            path = folder / "dashboard.toml"
            path.write_text(f'verifier_keys = ["verifier.pub"]\n{config}\n[mqtt]\nport = {broker.port}\n')
            command += ["--config", str(path)]
        else:
            command += ["--verifier-key", str(folder / "verifier.pub"), "--port", str(broker.port)]
            command += ["--listen", "127.0.0.1:0"]
        with started(command, folder / "dashboard.log") as (url, process):
            _wait_until_it_follows(url)
            publisher = Listener(broker.port)
            try:
                yield Dashboard(
                    url=url,
                    broker=broker,
                    publisher=publisher,
                    signer=ResultSigner(key, "tests", "1"),
                    cwt=ResultSigner(key, "tests", "1", ResultFormat.CWT),
                    process=process,
                )
            finally:
                publisher.close()


def _wait_until_it_follows(url: str) -> None:
    ends_s = time.monotonic() + PATIENCE_S
    while httpx.get(f"{url}healthz", timeout=PATIENCE_S).status_code != HTTPStatus.OK:
        assert time.monotonic() < ends_s, "the dashboard did not reach the broker"
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def started(command: list[str], log: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Starts a dashboard; yields the address that it prints."""
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT)
    try:
        assert process.stdout is not None
        found = _ADDRESS.match(process.stdout.readline().decode())
        assert found, f"no address; {log.read_text()}"
        yield found[1], process
    finally:
        stop_process(process, signal.SIGTERM, PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()


@dataclass
class Look:
    """A browser's page, and all its requests and errors."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def path(self, name: str) -> Path:
        """The path of a screenshot of that name."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        return ARTEFACTS / f"{name}.png"

    def keep(self, name: str) -> None:
        """Takes a screenshot of the visible part."""
        self.page.screenshot(path=self.path(name))

    def assert_quiet(self, url: str) -> None:
        """No request went to another host, none was blocked, and none failed."""
        foreign = [each for each in self.requests if not each.startswith(url)]
        assert foreign == []
        assert self.complaints == []


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium; skips the test if it is missing."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def looking(browser: Browser, **options: object) -> Iterator[Look]:
    """A page in a context of its own; ``options`` are those of a Playwright context."""
    context: BrowserContext = browser.new_context(**options)  # type: ignore[arg-type]  # as Playwright names them
    try:
        look = Look(context.new_page())
        look.page.set_default_timeout(PATIENCE_S * 1000)
        expect.set_options(timeout=PATIENCE_S * 1000)  # five seconds otherwise
        context.on("request", lambda request: look.requests.append(request.url))
        look.page.on("console", lambda said: _complain(look, said.type, said.text))
        look.page.on("pageerror", lambda error: look.complaints.append(str(error)))
        yield look
    finally:
        context.close()


def _complain(look: Look, kind: str, text: str) -> None:
    if kind in {"error", "warning"}:
        look.complaints.append(f"{kind}: {text}")


def device_hash(number: int) -> str:
    """The address of a device's page."""
    return f"#/device/{ueid_text(ueid_of(number))}"
