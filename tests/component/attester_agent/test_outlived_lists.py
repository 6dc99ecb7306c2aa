"""A TPM that was reset under a running kernel: the IMA list holds more than the PCRs do, and the agent reports it."""

from attester_agent.core.agent_state import AgentState, decode_state, encode_state
from attester_agent.core.evidence_builder import Push
from attester_agent.core.handle_gate import AcceptedHandle
from attester_agent.core.transitions import KernelView
from attester_agent.push_maker import PushMaker
from schemas.hashes import SHA256
from schemas.identifiers import HandleId
from schemas.messages.evidence import Evidence
from schemas.tpm.pcr import parse_selection_text
from schemas.transitions import TransitionKind
from tests.builders.log_bytes import ima_ng
from tests.fakes.attester import MemoryLog, SoftTpm, read_payload, state_of

HANDLE = AcceptedHandle(id=HandleId(b"h" * 32), time_us=1, expires_us=2)


class Machine:
    """A TPM, a kernel with an IMA list, and an agent that may be started again."""

    def __init__(self) -> None:
        self.tpm, self.ima, self.kernel = SoftTpm(), MemoryLog(), KernelView()
        self.state: AgentState = state_of(self.tpm)
        self.number = 0
        self.start_agent()

    def start_agent(self) -> None:
        selection = parse_selection_text("sha256:0-3,10")
        self.maker = PushMaker(self.tpm, [self.ima], selection=selection, max_bytes=100_000, kernel=lambda: self.kernel)

    def measure(self, count: int) -> None:
        for _ in range(count):
            record = ima_ng(b"/bin/%d" % self.number, b"x")
            self.ima.measure(self.tpm, record, SHA256.digest(record[28 + len(b"ima-ng") + 4 :]))
            self.number += 1

    def hibernate(self) -> None:
        """The kernel that starts first measures its boot aggregate, as the kernel that is resumed did long ago."""
        self.tpm.reboot()
        first = self.ima.records[0]
        self.tpm.extend(10, SHA256.digest(first[28 + len(b"ima-ng") + 4 :]))

    def push(self) -> tuple[Push, Evidence]:
        made = self.maker.make(self.state, HANDLE, {})
        self.state = decode_state(encode_state(made.state))
        return made, read_payload(made.payload)


def kinds(evidence: Evidence) -> list[TransitionKind]:
    return [each.kind for each in evidence.body.transitions]


def test_a_list_that_outlived_the_tpm_is_reported() -> None:
    """``ima-list-outlived-tpm``: the agent was not there before, and its kernel says nothing."""
    machine = Machine()
    machine.measure(9)
    machine.hibernate()
    made, _ = machine.push()
    assert (made.totals["ima"], made.behind) == (1, True)
    _, evidence = machine.push()
    assert kinds(evidence) == [TransitionKind.HIBERNATE]
    assert evidence.body.transitions[0].reset_count == machine.state.boot
    _, evidence = machine.push()
    assert kinds(evidence) == [], "it is reported once"
    machine.start_agent()
    machine.state = state_of(machine.tpm)
    machine.push()
    _, evidence = machine.push()
    assert kinds(evidence) == [TransitionKind.HIBERNATE], "and again by an agent that knows nothing of it"


def test_a_hibernation_that_the_kernel_shows_is_reported_once() -> None:
    machine = Machine()
    machine.kernel = KernelView(boot_id="a")
    machine.measure(9)
    machine.push()
    machine.hibernate()
    _, evidence = machine.push()
    assert kinds(evidence) == [TransitionKind.HIBERNATE]
    for _ in range(3):
        assert kinds(machine.push()[1]) == []


def test_a_machine_that_measures_all_the_time_has_not_hibernated() -> None:
    machine = Machine()
    machine.measure(4)
    machine.tpm.before_read = lambda: machine.measure(5)
    for _ in range(4):
        made, evidence = machine.push()
        assert made.behind
        assert kinds(evidence) == []


def test_an_entry_that_is_listed_and_not_yet_extended_is_no_hibernation() -> None:
    machine = Machine()
    machine.measure(4)
    machine.push()
    machine.ima.records.append(ima_ng(b"/bin/slow", b"x"))
    for _ in range(3):
        assert kinds(machine.push()[1]) == []


def test_after_a_reboot_nothing_is_reported() -> None:
    machine = Machine()
    machine.measure(9)
    machine.hibernate()
    machine.push()
    machine.push()
    machine.tpm.reboot()
    machine.ima.records.clear()
    machine.measure(3)
    for _ in range(3):
        assert kinds(machine.push()[1]) == []
