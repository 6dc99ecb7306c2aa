"""What results say of time, held against what we saw ourselves, with real parts and a TPM whose clock runs wrong.

We own the TSA's clock, the broker and the TPM, so we know when a handle was stamped, when a push was on the wire, and
what the TPM's clock showed in between. The results are asked for nothing but their bounds.
"""

from pathlib import Path

import pytest

from schemas.verdicts import Tier
from tests.programs.time_rig import time_rig

pytestmark = pytest.mark.needs(
    "mosquitto", "swtpm", "faketime", "tpm2_readclock", "tpm2_setclock", "tpm2_clear", "openssl"
)

ACCURACY_US = 300_000


@pytest.mark.parametrize(
    ("rate", "tsa_offset_us"),
    [
        pytest.param(1.12, ACCURACY_US, id="fast clock, TSA ahead"),
        pytest.param(0.88, -ACCURACY_US, id="slow clock, TSA behind"),
    ],
)
def test_bounds_hold_whatever_happens_to_the_device(tmp_path: Path, rate: float, tsa_offset_us: int) -> None:
    with time_rig(tmp_path, rate=rate, tsa_offset_us=tsa_offset_us, accuracy_us=ACCURACY_US, interval_s=5) as rig:
        first = len(rig.handles())
        while len(rig.handles()) < first + 2:  # past the next handle, with readings of the clock between pushes
            rig.witness()
            rig.wait_for_new(count=3)
        if rate > 1:  # the harness can convict: this clock breaks the bounds of anyone who believes it to be exact
            rig.wait(lambda _: rig.widest_lie_us(0) > 0, "a push that shows the fast clock")
        assert rig.widest_lie_us(150_000) <= 0
        rig.kill("verifier")
        rig.start("verifier_worker", "verifier")
        rig.wait_for_new(lambda result: result.status is Tier.AFFIRMING, "results of a restarted verifier", count=2)
        for happen in (rig.tpm.shut_down, rig.tpm.cut_power):
            happen()
            rig.tpm.start()
            rig.wait_for_new(lambda result: result.status is Tier.AFFIRMING, f"a result after {happen.__name__}")
        rig.tpm.suspend_and_resume()
        rig.wait_for_new(lambda result: result.status is Tier.AFFIRMING, "a result after a resume")
        rig.witness()
        rig.set_clock_forward(60_000)
        rig.wait_for_new(lambda result: result.status is Tier.NONE, "doubt about a clock a minute ahead")
        assert rig.check_all() > 15


def test_bounds_hold_over_a_cleared_tpm(tmp_path: Path) -> None:
    with time_rig(tmp_path, interval_s=1.0) as rig:
        rig.wait_for_new(count=3)
        rig.kill("agent")
        rig.tool("tpm2_clear", "-c", "l")
        rig.witness()
        rig.provision()
        rig.start("attester_agent", "agent")
        before = len(rig.pushes())
        rig.watch.wait_for(lambda _: len(rig.pushes()) > before + 6, f"pushes of a cleared TPM\n{rig.logs()}")
        assert rig.check_all() > 3
