"""Receives alerts: verifies the webhook's signature, then the attestation result in it.

python alert_receiver.py SECRET_FILE VERIFIER_KEYS PORT
"""

import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from relying_party import Results
from runtime import clock

MAX_BODY_BYTES = 256 * 1024
MAX_SEEN = 1000
MAX_AGE_S = 300
SEEN: dict[str, None] = {}  # ids of the newest alerts: delivery is at least once


def verify(headers: Mapping[str, str], body: bytes, secret: str, now_s: float) -> dict[str, object]:
    """Standard Webhooks, in ten lines: what the body says, or a ValueError."""
    identity, sent = headers["webhook-id"], headers["webhook-timestamp"]
    key = base64.b64decode(secret.strip().removeprefix("whsec_"))
    code = hmac.digest(key, f"{identity}.{sent}.".encode() + body, hashlib.sha256)
    expected = "v1," + base64.b64encode(code).decode()
    if not any(hmac.compare_digest(expected, each) for each in headers["webhook-signature"].split()):
        raise ValueError("not signed with our secret")
    if abs(now_s - int(sent)) > MAX_AGE_S:
        raise ValueError("sent long ago, or in our future")
    data: dict[str, object] = json.loads(body)["data"]
    return data


class Receiver(BaseHTTPRequestHandler):
    """Prints alerts."""

    def do_POST(self) -> None:
        """Receives one alert."""
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), MAX_BODY_BYTES))
        try:
            alert = verify(self.headers, body, Path(sys.argv[1]).read_text(), clock.utc_s())
        except (ValueError, KeyError):
            self.send_response(401)
            self.end_headers()
            return
        if str(alert["id"]) not in SEEN:
            SEEN[str(alert["id"])] = None
            if len(SEEN) > MAX_SEEN:
                SEEN.pop(next(iter(SEEN)))
            print(alert["severity"], alert["summary"], alert["next_step"], proof_of(alert), flush=True)
        self.send_response(204)
        self.end_headers()


def proof_of(alert: Mapping[str, object]) -> str:
    """The verifier's signed result, which proves the alert."""
    if alert["result"] is None or alert["result_form"] != "jwt":
        return "(no proof in it)"
    result = Results.from_files(sys.argv[2]).read(str(alert["result"]).encode())
    return f"(signed by {result.verifier}: {result.status}, {result.freshness})"


if __name__ == "__main__":
    if len(sys.argv) != 4:  # noqa: PLR2004 this program, and three
        sys.exit(str(__doc__))
    HTTPServer(("127.0.0.1", int(sys.argv[3])), Receiver).serve_forever()
