"""docs/operations.md, followed to the letter."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.mosquitto import free_port

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.needs("mosquitto", "swtpm", "tpm2_pcrread", "openssl")
def test_the_operations_page_works_as_written(tmp_path: Path) -> None:
    blocks = BLOCKS.findall((ROOT / "docs" / "operations.md").read_text("utf-8"))
    assert len(blocks) == 9
    script = "set -euo pipefail\n" + "\n".join(blocks)
    # A path of a UNIX socket is at most 107 bytes: a short folder, as a person would have.
    folder = tmp_path if len(str(tmp_path)) < 80 else Path(os.path.realpath(tmp_path.parent))
    with (folder / "output").open("wb") as output_file:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env={
                **os.environ,
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "PYTHONPATH": str(ROOT),
                "MQTT_PORT": str(free_port()),
                "TSA_PORT": str(free_port()),
            },
            stdin=subprocess.DEVNULL,
            stdout=output_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        process.wait(timeout=120)  # not for the end of its output: what runs in the background holds that open
    finally:
        with_group_gone(process.pid)
    output = (folder / "output").read_text()
    logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
    assert process.returncode == 0, output + logs
    assert re.search(r"affirming +fresh", output), output + logs
    assert re.search(r"contraindicated +pcr-unexpected: PCR sha256:4", output), output + logs
    assert "pcr-unexpected evidence=" in output, output + logs


def with_group_gone(group: int) -> None:
    """Ends what the page started in the background, by the id of its process group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
