"""The steps that the machine goes through; each step waits for the expected result of the verifier.

Another result ends the run and is reported. Owned by the main thread.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.demo.configuration import toml
from deploy.demo.embedded_tsa import ROOT_FILE
from deploy.demo.layout import RunDirectory
from deploy.demo.narrator import Narrator
from deploy.demo.problem import DemoError
from deploy.demo.processes import Children
from deploy.vm.faults import FAULTS
from deploy.vm.machine import Machine
from deploy.vm.outside import HEARTBEAT_S, Heard, Outside, parse_push
from relying_party.result_board import Standing
from schemas.identifiers import Ueid, parse_ueid_text
from schemas.messages.evidence import Evidence
from schemas.reasons import Reason
from schemas.topics import TopicKind
from schemas.verdicts import Freshness, Tier

UNKNOWN: Final = "/opt/unknown-program"
PAGES: Final = Path(__file__).resolve().parents[2] / "docs"
_DEVICE_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_UNBOXED: Final = "/root"  # the image has the agent's package there
_DOCTOR: Final = (
    "runuser -u attestream -- attester-agent doctor --config /etc/attestream/agent.toml "
    "--endorser-key /etc/attestream/endorser.pub"
)
_PAGE_S: Final = 600.0
_GATEWAY: Final = "10.0.2.2"  # QEMU's name for this host's loopback
_FIRST_PUSH_S: Final = 180.0
_MEASURED_PUSHES: Final = 5
_ASLEEP_S: Final = 1.0
_FEW_ENTRIES: Final = 100  # in a push that is not a baseline
_METRICS: Final = (
    "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:9464/metrics\").read().decode())'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A step, its result, and the number of messages received by then."""

    name: str
    seen: str
    heard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How long a step took, and how long the board's emulated processors worked in it."""

    name: str
    seconds: float
    board_s: float

    @property
    def text(self) -> str:
        """One line of the table."""
        return f"{self.seconds:6.1f} s  {self.board_s:6.1f} s  {self.name}"


@dataclass(slots=True, kw_only=True)
class Report:
    """The outcome of a run.

    Attributes:
        observations: each step with the verifier's result.
        steps: how long each one took.
        costs: of the agent in the guest, by name.
    """

    observations: list[Observation] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    costs: dict[str, str] = field(default_factory=dict)


class Scenario:
    """One machine from its manufacture to a power cut."""

    def __init__(
        self,
        machine: Machine,
        outside: Outside,
        run: RunDirectory,
        children: Children,
        narrator: Narrator,
        programs: Sequence[str],
    ) -> None:
        """Starts nothing; ``programs`` have reference values and have not run yet."""
        self.report: Final = Report()
        self.ueid: Ueid | None = None
        self._machine = machine
        self._outside = outside
        self._run = run
        self._children = children
        self._narrator = narrator
        self._programs = tuple(programs)

    def play(self, *, until_affirming: bool = False, by_page: bool = False) -> None:
        """All steps, or only those up to the first affirming result.

        Args:
            until_affirming: stop there.
            by_page: install and configure the agent with the commands of ``docs/operations.md``.

        Raises:
            DemoError: a step had another result than expected.
        """
        step = self._step
        with step("A new machine: TPM with EK certificate, firmware, disk"):
            self._machine.manufacture()
        with step("Switch it on; meanwhile start broker, TSA, handle distributor, endorser and verifier"):
            self._machine.switch_on()
            self._outside.start(self._machine)
            self._outside.start_verifier(self._machine.make.pcrs("0-10"))
        with step("The machine boots"):
            self._machine.wait_booted()
        with step("The operator configures the agent; the agent enrols by the EK certificate"):
            if by_page:
                self._follow_page()
            else:
                self._enrol()
        with step("First baseline; its PCRs and the files of the image's packages become the reference values"):
            self._learn()
        with step("First appraisal with these reference values"):
            self._affirming("first appraisal")
        if by_page:
            with step("The doctor's finding for each fault"):
                self._check_doctor()
        if until_affirming:
            return
        with step("Known programs run"):
            self._known_programs()
        with step("The agent's costs"):
            self._measure()
        with step("Suspend to RAM, and resume"):
            self._suspend()
        with step(f"An unknown program runs: {UNKNOWN}"):
            self._unknown_program()
        with step("Reboot"):
            self._machine.reboot()
            self._reason("reboot", Reason.REBOOTED)
            self._affirming("after the reboot")
        with step("Power cut"):
            self._power_cut()

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        started_s, spent_s = self._narrator.seconds, self._machine.processor_s
        with self._narrator.step(name):
            yield
        took = Step(
            name=name,
            seconds=self._narrator.seconds - started_s,
            board_s=self._machine.processor_s - spent_s,
        )
        self.report.steps.append(took)

    def _enrol(self) -> None:
        machine = self._machine
        if machine.make.ima_policy is not None:
            machine.put({"/etc/ima/ima-policy": machine.make.ima_policy.read_bytes()})
            machine.reboot()
        self._trust_files("/etc/attestream", {"agent.toml": self._configuration().encode()})
        # The state belongs to the agent's user, so enrolment runs as that user too.
        said = machine.must(
            "runuser -u attestream -- attester-agent enrol --config /etc/attestream/agent.toml "
            "--endorser-key /etc/attestream/endorser.pub --name device"
        )
        self._enrolled(said)
        machine.must("systemctl enable --now attester-agent.service")

    def _follow_page(self) -> None:
        """Runs the commands of ``docs/operations.md`` on a machine without the agent, as a newcomer would."""
        machine = self._machine
        machine.must(
            f"dpkg --purge attestream-agent && ! test -e /etc/attestream && ls {_UNBOXED}/*.deb", seconds=_PAGE_S
        )
        self._trust_files(_UNBOXED, {})
        (block,) = _DEVICE_BLOCK.findall((PAGES / "operations.md").read_text(encoding="utf-8"))
        setting = f"set -e; cd {_UNBOXED}; BROKER={_GATEWAY} MQTT_PORT={self._outside.port}\n"
        said = machine.must(setting + block, seconds=_PAGE_S)
        self._enrolled(said)
        findings = [line for line in said.splitlines() if re.match(r"(ok|warn|fail) +[\w ]+:", line)]
        if not findings or any(not line.startswith("ok") for line in findings):
            raise DemoError(f"after the page's commands the doctor still finds faults:\n{said}")
        self._note("page followed", f"the doctor finds {len(findings)} things, all well")

    def _check_doctor(self) -> None:
        machine, wrong = self._machine, list[str]()
        for fault in FAULTS:
            machine.must(fault.harm)
            said = machine.run(_DOCTOR).output
            machine.must(fault.mend)
            found = re.search(rf"^{fault.finding}[^\n]*\n +→ (.*)$", said, re.MULTILINE)
            if found is None or fault.todo not in found.group(1):
                wrong.append(f"{fault.name}:\n{said}")
            else:
                self._narrator.say(f"  {fault.name}: {found.group(0).strip()}")
        if wrong:
            raise DemoError("the doctor missed a fault: " + "\n".join(wrong))
        self._note("faults", f"{len(FAULTS)}, each found by the doctor, with the next step")

    def _trust_files(self, folder: str, more: Mapping[str, bytes]) -> None:
        run = self._run
        files = {
            **more,
            "distributor.pub": run.public_key("distributor").read_bytes(),
            "verifier.pub": run.public_key("verifier").read_bytes(),
            "endorser.pub": run.public_key("endorser").read_bytes(),
            "tsa-root.pem": (run.tsa / ROOT_FILE).read_bytes(),
        }
        self._machine.put({f"{folder}/{name}": content for name, content in files.items()})

    def _enrolled(self, said: str) -> None:
        found = re.search(r"^(\S+): endorsed by .*", said, re.MULTILINE)
        if found is None:
            raise DemoError(f"enrolment ended without an endorsement:\n{said}")
        self.ueid = parse_ueid_text(found.group(1))
        self._note("enrolment", found.group(0).partition(": ")[2])

    def _configuration(self) -> str:
        make = self._machine.make
        return toml(
            {
                "": {"name": "device", "state": "/var/lib/attestream/agent.db", "metrics_port": 9464},
                "mqtt": {"host": _GATEWAY, "port": self._outside.port},
                "tpm": {"tcti": "device:/dev/tpmrm0", "ak_algorithm": make.ak, "ek": "rsa"},
                "evidence": {"pcrs": make.pcrs("0-10"), "heartbeat_s": HEARTBEAT_S},
                "logs": {
                    "tcg2": "/sys/kernel/security/tpm0/binary_bios_measurements",
                    "ima": "/sys/kernel/security/ima/binary_runtime_measurements",
                },
                "trust": {
                    "distributor_keys": ["distributor.pub"],
                    "tsa_roots": ["tsa-root.pem"],
                    "verifier_keys": ["verifier.pub"],
                },
            }
        )

    def _learn(self) -> None:
        def is_first(each: Heard) -> bool:
            return self._outside.kind(each) is TopicKind.EVIDENCE

        try:
            first = self._outside.wait_heard("the first push", is_first, _FIRST_PUSH_S)
        except DemoError as error:
            journal = self._machine.run("journalctl -u attester-agent --no-pager | tail -n 20").output
            raise DemoError(f"{error}; the agent's journal:\n{journal}") from error
        evidence = parse_push(first)
        counts = ", ".join(f"{name} {each.total} entries" for name, each in evidence.unsigned_increments.items())
        self._note("first baseline", f"{len(first.payload)} bytes: {counts}")
        self._outside.wait_heard("another push", lambda each: is_first(each) and each is not first)
        if self.ueid is None:
            raise DemoError("not enrolled")
        files = self._outside.publish_golden(self.ueid, self._machine.image, self._machine.make.pcrs("0-9"))
        self._note("reference values", f"PCRs 0-9 of this device, {files} files of the image's packages")

    def _known_programs(self) -> None:
        before = self._affirming("before")
        self._machine.must("; ".join(f"{program} </dev/null >/dev/null 2>&1" for program in self._programs) + "; true")
        self._narrator.say(f"  ran {', '.join(self._programs)}")
        grown = self._outside.wait_result(
            "deltas",
            lambda each: _entries(each, "ima") >= _entries(before, "ima") + len(self._programs) and _is_good(each),
        )
        self._note("known programs", f"IMA list {_entries(before, 'ima')} → {_entries(grown, 'ima')}; {_said(grown)}")

    def _measure(self) -> None:
        machine, costs = self._machine, self.report.costs
        pid = machine.must("systemctl show -p MainPID --value attester-agent").strip()
        read = f"cat /proc/{pid}/stat; grep -E '^(VmRSS|VmHWM|RssAnon)' /proc/{pid}/status"
        machine.must(read)  # so that IMA measures these programs now, not during the measurement
        tpm = _tpm_time(machine.must(_METRICS))
        machine.must("sleep 0.1")
        first_s, sent = self._narrator.seconds, len(self._pushes())
        before = machine.must(read)
        self._narrator.wait(
            f"{_MEASURED_PUSHES} heartbeats", lambda: len(self._pushes()) >= sent + _MEASURED_PUSHES, 120
        )
        after, seconds = machine.must(read), self._narrator.seconds - first_s
        pushes = self._pushes()[sent:]
        spent = _tpm_time(machine.must(_METRICS))
        user, system = (
            10 * (late - early) / len(pushes) for early, late in zip(_ticks(before), _ticks(after), strict=True)
        )
        for name in ("VmRSS", "RssAnon", "VmHWM"):
            costs[name] = re.findall(rf"{name}:\s+(\d+ kB)", after)[0]
        costs["CPU"] = f"{user:.0f} ms user, {system:.0f} ms system a push with its polls, emulated, {seconds:.0f} s"
        waited_ms, asked = (each / len(pushes) for each in (1000 * (spent[0] - tpm[0]), spent[1] - tpm[1]))
        costs["TPM"] = f"{waited_ms:.0f} ms a push in {asked:.1f} commands, waiting for it included"
        still = [each for each in pushes if not parse_push(each).unsigned_increments]
        if still:
            most = max(len(each.payload) for each in still)
            costs["heartbeat"] = f"{most} bytes at most, of {len(still)}"
            grown = [(len(each.payload), _new_entries(parse_push(each))) for each in self._pushes()]
            ten = [10 * (size - most) / count for size, count in grown if 0 < count <= _FEW_ENTRIES]
            costs["10 IMA entries"] = f"{sum(ten) / len(ten):.0f} bytes more" if ten else "none came"
        self._note("agent", "; ".join(f"{name} {value}" for name, value in costs.items()))

    def _suspend(self) -> None:
        problem = self._machine.suspend(_ASLEEP_S)
        if problem:
            self._note("suspend", f"not done: {problem}")
            return
        self._reason("resume", Reason.RESUMED)
        self._affirming("after the resume")

    def _unknown_program(self) -> None:
        self._machine.must(f"cp /bin/true {UNKNOWN} && echo changed >>{UNKNOWN} && {UNKNOWN}")
        standing = self._outside.wait_result(
            "contraindicated", lambda each: each.status is Tier.CONTRAINDICATED and UNKNOWN in each.result.unexpected
        )
        self._note("unknown program", f"{_said(standing)}: {', '.join(standing.result.unexpected)}")

    def _power_cut(self) -> None:
        machine = self._machine
        machine.must("sync")
        machine.cut_power()
        self._narrator.say("  … board and TPM are dead; on again")
        machine.switch_on()
        machine.wait_booted()
        standing = self._outside.wait_result(
            "a result of the new boot", lambda each: Reason.REBOOTED in each.reasons or _is_good(each), _FIRST_PUSH_S
        )
        self._note("power cut", _said(standing))
        self._affirming("after the power cut")

    def _affirming(self, what: str) -> Standing:
        standing = self._outside.wait_result(f"affirming, {what}", _is_good, _FIRST_PUSH_S)
        self._note(what, _said(standing))
        return standing

    def _reason(self, what: str, reason: Reason) -> None:
        standing = self._outside.wait_result(f"{reason}", lambda each: reason in each.reasons, _FIRST_PUSH_S)
        self._note(what, _said(standing))

    def _pushes(self) -> list[Heard]:
        self._outside.listen()
        return [each for each in self._outside.heard if self._outside.kind(each) is TopicKind.EVIDENCE]

    def _note(self, name: str, seen: str) -> None:
        self.report.observations.append(Observation(name=name, seen=seen, heard=len(self._outside.heard)))
        self._narrator.say(f"  {name}: {seen}")


def _new_entries(evidence: Evidence) -> int:
    """The number of log entries in a push that sends all new ones."""
    return sum(each.total - evidence.body.logs[name] for name, each in evidence.unsigned_increments.items())


def _is_good(standing: Standing) -> bool:
    return standing.status is Tier.AFFIRMING and standing.freshness is Freshness.FRESH


def _said(standing: Standing) -> str:
    reasons = f" ({', '.join(standing.reasons)})" if standing.reasons else ""
    return f"{standing.status}, {standing.freshness}{reasons}"


def _entries(standing: Standing, log: str) -> int:
    return dict(standing.result.logs).get(log, 0)


def _ticks(status: str) -> tuple[int, int]:
    """User and system time so far, in ticks of 10 ms (proc_pid_stat(5), fields 14 and 15)."""
    fields = status.rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def _tpm_time(metrics: str) -> tuple[float, float]:
    """Seconds in TPM commands so far, and their number, from the agent's histogram."""
    sums = re.findall(r"^attestream_tpm_command_seconds_sum\{[^}]*\} (\S+)$", metrics, re.MULTILINE)
    counts = re.findall(r"^attestream_tpm_command_seconds_count\{[^}]*\} (\S+)$", metrics, re.MULTILINE)
    if not counts:
        raise DemoError("the agent's metrics lack the time of TPM commands")
    return sum(map(float, sums)), sum(map(float, counts))
