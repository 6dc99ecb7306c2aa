"""Root resets PCR 16 and measures good configuration again, in the same boot: what was found stays found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from schemas.messages.policy import SignedPolicy
from schemas.reasons import Reason
from schemas.tpm.pcr import parse_selection_text
from schemas.verdicts import Tier
from tests.worlds.device import NO_AGENT, make_policy
from tests.worlds.step_bench import CelBench
from verifier_worker.adapters.loaded_files import compile_policy
from verifier_worker.core.policy.in_force import Policies
from verifier_worker.core.policy.policy_file import LogPcrs, LogsTable, LogTable, PolicyTable, read_policy

VOLATILE = "cel/volatile"
PCRS = "sha256:0-11,14-16"


class ResettableBench(CelBench):
    """A device whose configuration is measured into PCR 16, by a policy that knows this."""

    def __init__(self) -> None:
        super().__init__()
        self.trust = replace(self.trust, policy=make_policy(pcrs=PCRS, logs=self.logs(resettable=True)))
        self.measure()

    @staticmethod
    def logs(*, resettable: bool) -> LogsTable:
        volatile = LogTable(pcrs=(16,), resettable=resettable)
        cel: dict[str, LogPcrs] = {"app": (14,), "systemd": (11, 15), "volatile": volatile}
        return LogsTable(tcg2=(*range(10), 11), ima=(10,), cel=cel)

    def measure(self, content: bytes = b"good config") -> None:
        self.device.measure_file(VOLATILE, "/etc/app.conf", content, index=16)

    def reset(self, content: bytes = b"good config") -> None:
        """TPM2_PCR_Reset by root; the log begins again."""
        self.device.pcrs[16] = bytes(32)
        self.device.cel_logs[VOLATILE] = []
        self.measure(content)


def baseline(bench: ResettableBench) -> None:
    bench.device.sent, bench.device.previous = {}, None
    bench.push()


def full_push_from_there(bench: ResettableBench) -> None:
    bench.device.sent.pop(VOLATILE)
    bench.push(full=True)


def delta_from_the_start(bench: ResettableBench) -> None:
    bench.device.sent.pop(VOLATILE)
    bench.push()


def delta_that_goes_on(bench: ResettableBench) -> None:
    """As if the log had only grown."""
    bench.push()


def other_selection(bench: ResettableBench) -> None:
    bench.device.selection = parse_selection_text("sha256:0-16")
    baseline(bench)


def without_the_log(bench: ResettableBench) -> None:
    bench.device.pcrs[16] = bytes(32)
    bench.device.cel_logs.pop(VOLATILE, None)
    baseline(bench)


ATTACKS = [
    baseline,
    full_push_from_there,
    delta_from_the_start,
    delta_that_goes_on,
    other_selection,
    without_the_log,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.__name__)
def test_a_reset_pcr_takes_no_finding_away(attack: Callable[[ResettableBench], None]) -> None:
    bench = ResettableBench()
    bench.push()
    assert bench.verdict() == (Tier.AFFIRMING, set())
    bench.measure(b"bad config")
    bench.push()
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})
    bench.reset()
    for _ in range(3):
        attack(bench)
        status, reasons = bench.verdict()
        assert status is Tier.CONTRAINDICATED
        assert Reason.FILE_UNEXPECTED in reasons
    assert bench.state is not None
    assert [finding.detail for finding in bench.state.lasting.findings] == ["/etc/app.conf (app.config, cel/volatile)"]


def test_the_next_boot_takes_it_away() -> None:
    bench = ResettableBench()
    bench.measure(b"bad config")
    bench.push()
    bench.device.reboot()
    bench.device.measure_boot(11, b"stub section")
    bench.device.measure_file("cel/app", "/etc/app.conf", b"good config")
    bench.phase("enter-initrd")
    bench.measure()
    bench.device.sync(bench.handle)
    bench.push()
    assert bench.verdict() == (Tier.AFFIRMING, {Reason.REBOOTED})


def test_an_honest_service_that_measures_again_stays_good() -> None:
    bench = ResettableBench()
    bench.push()
    for _ in range(3):
        bench.reset()
        baseline(bench)
        assert bench.verdict() == (Tier.AFFIRMING, set())


def test_a_signed_policy_of_an_earlier_release_is_read_and_affirms_nothing() -> None:
    """Its author may have taken the log for a history. If it were refused, its group could fall to a weaker policy."""
    text = (
        'id = "fleet"\npcrs = "sha256:0-11,14-16"\nreference_values = ["good"]\ndeadline_s = 10\n'
        "[logs]\ntcg2 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11]\nima = [10]\n"
        "cel = { app = [14], systemd = [11, 15], volatile = VOLATILE }\n[ima]\nagent = []\n"
    )
    policies = Policies(None, compile_policy)
    bench = ResettableBench()
    findings = []
    for version, given in enumerate(("[16]", "{ pcrs = [16], resettable = true }", "{ pcrs = [16] }"), 1):
        policies.take(
            SignedPolicy(
                id="fleet",
                version=version,
                signer="e",
                not_before_s=0,
                not_after_s=2**40,
                text=text.replace("VOLATILE", given),
            )
        )
        bench.trust = replace(bench.trust, policy=policies.choose("", 10).policy)
        taken = bench.push()
        findings.append((bench.verdict(), [(each.reason, each.detail) for each in taken.findings]))
    undecided = (Tier.NONE, {Reason.LOG_RESETTABLE}), [(Reason.LOG_RESETTABLE, "cel/volatile: PCR 16")]
    assert findings == [undecided, ((Tier.AFFIRMING, set()), []), undecided]


def test_such_a_policy_hides_nothing_that_is_bad() -> None:
    bench = ResettableBench()
    bench.push()
    bench.measure(b"bad config")
    table = PolicyTable(
        id="test",
        version=2,
        pcrs=PCRS,
        reference_values=("good",),
        deadline_s=10.0,
        logs=bench.logs(resettable=False),
        ima=NO_AGENT,
    )
    bench.trust = replace(bench.trust, policy=read_policy(table))
    bench.push()
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED, Reason.LOG_RESETTABLE})
