"""Mosquitto on the loopback interface, with the demo's configuration."""

import os
import socket
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether a program accepts connections on a port of the loopback interface."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def write_configuration(directory: Path, port: int) -> Path:
    """Writes ``mosquitto.conf``: anonymous clients, the loopback interface only, sessions that survive a restart."""
    lines = [
        "# Anybody on this machine may publish anything: the demonstration shows that this does no harm.",
        f"listener {port} {HOST}",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {directory}/",
        "autosave_on_changes true",
        "autosave_interval 1",
        "max_queued_messages 100000",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
    ]
    if os.geteuid() == 0:
        # Otherwise Mosquitto would become the user `mosquitto`, who may not write here. It would also outlive a killed
        # demo, because the kernel forgets --pdeathsig when a process changes its user.
        lines.append("user root")
    path = directory / "mosquitto.conf"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
