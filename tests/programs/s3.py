"""An S3-compatible store on the loopback: moto's server as a process."""

import contextlib
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.programs.waiting import PATIENCE_S, stop_process, wait_until

HOST = "127.0.0.1"


@contextlib.contextmanager
def running_s3(folder: Path, bucket: str) -> Iterator[str]:
    """Serves an empty bucket; yields the endpoint's URL. The store's content is gone at the end."""
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    endpoint = f"http://{HOST}:{port}"
    with (folder / "s3.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: _made(f"{endpoint}/{bucket}"), "the object store")
        yield endpoint
    finally:
        stop_process(process, signal.SIGTERM, PATIENCE_S)


def _made(url: str) -> bool:
    request = urllib.request.Request(url, method="PUT")  # noqa: S310 a URL of ours
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S):  # noqa: S310 as above
            return True
    except (urllib.error.URLError, OSError):
        return False
