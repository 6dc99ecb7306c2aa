"""An agent loads no module that it does not use: that would cost every device memory and start-up time."""

import subprocess
import sys

SPARED = {"requests", "rfc3161ng", "urllib3", "pyasn1"}  # they ask a TSA, which few agents do


def test_an_agent_that_asks_no_time_stamp_authority_loads_nothing_that_could() -> None:
    program = "import sys, attester_agent.__main__; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "tpm2_pytss" in loaded
    assert loaded & SPARED == set()
