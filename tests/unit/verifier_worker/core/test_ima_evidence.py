"""An IMA list is evidence of what ran only if it shows that the kernel measured (invariant I6).

Root removes the IMA policy, hibernates the machine, starts another kernel, moves measurements to another PCR. Each time
the list that is left contradicts nothing.
"""

import hashlib
from dataclasses import replace

import pytest

from schemas.reasons import Reason
from schemas.tpm.pcr import parse_selection_text
from schemas.transitions import TransitionKind
from schemas.verdicts import Tier, TrustClaim
from tests.builders.log_bytes import ima_ng
from tests.worlds.device import GOOD_FILES, make_policy, make_references, make_trust
from tests.worlds.step_bench import Bench
from verifier_worker.core.policy.ima_demands import AGENT, ImaTable
from verifier_worker.core.policy.policy_file import BootTable, LogsTable, PolicyTable
from verifier_worker.core.state_codec import decode_state, encode_state

AGENT_PATH, AGENT_PROGRAM = AGENT[0].encode(), b"agent"
POLICY_PATH, POLICY_TEXT = b"/etc/ima/ima-policy", b"measure func=BPRM_CHECK\n"
FILES = {**GOOD_FILES, AGENT_PATH: AGENT_PROGRAM, POLICY_PATH: POLICY_TEXT}
LISTED = {hashlib.sha256(content).digest(): path.decode() for path, content in FILES.items()}
AGENT_MISSING = (Tier.NONE, {Reason.IMA_AGENT_MISSING})
GOOD = (Tier.AFFIRMING, set[Reason]())


class Machine(Bench):
    """A device whose kernel measures its agent at each start, and a verifier that demands it."""

    def __init__(self, **policy: object) -> None:
        super().__init__()
        self.adopt(**policy)

    def adopt(self, **policy: object) -> None:
        """The verifier gets this policy."""
        self.policy = make_policy(**{"ima": ImaTable(), **policy})
        references = make_references(self.device, files=LISTED)
        self.trust = make_trust(self.device, handles=(self.handle,), policy=self.policy, references=(references,))

    def start_agent(self) -> None:
        self.device.run(AGENT_PATH, AGENT_PROGRAM)

    def push(self, **changes: object) -> tuple[Tier, set[Reason]]:
        self.take(self.device.push(**changes))  # type: ignore[arg-type]  # fields by name
        return self.verdict()

    def reset_tpm(self) -> list[bytes]:
        """A TPM reset and the first entry of the kernel; returns the list as it was."""
        before = self.device.ima_list
        self.device.reboot()
        self.device.sync(self.handle)
        return before

    def reboot(self) -> None:
        self.reset_tpm()
        self.start_agent()

    def hibernate(self) -> None:
        """The kernel's own list stays; this device sends the part that reproduces the quote, and reports it."""
        self.reset_tpm()
        self.device.tell(TransitionKind.HIBERNATE)


@pytest.fixture
def machine() -> Machine:
    started = Machine()
    started.start_agent()
    assert started.push() == GOOD
    return started


# -- the list must hold the agent --------------------------------------------------------------------------------------


def test_a_policy_demands_the_agent_unless_it_says_otherwise() -> None:
    table = PolicyTable(id="x", pcrs="sha256:0-10", reference_values=(), deadline_s=1, logs=LogsTable(ima=(10,)))
    assert table.ima.agent == AGENT


def test_a_list_without_the_agent_shows_nothing(machine: Machine) -> None:
    """``ima-agent-missing``: root removed the IMA policy and rebooted."""
    machine.reset_tpm()
    assert machine.push() == (Tier.NONE, {Reason.IMA_AGENT_MISSING, Reason.REBOOTED})
    assert machine.push() == AGENT_MISSING
    machine.device.run(b"/usr/bin/true", b"true")
    assert machine.push() == AGENT_MISSING, "some file is not the agent"
    machine.start_agent()
    assert machine.push() == GOOD


@pytest.mark.parametrize("path", [b"/tmp/usr/bin/attester-agent", b"/usr/bin/attester-agent.old", b"attester-agent"])
def test_another_file_is_not_the_agent(path: bytes) -> None:
    machine = Machine()
    machine.device.run(path, AGENT_PROGRAM)
    assert machine.push() == AGENT_MISSING


def test_entries_that_are_no_files_are_not_the_agent() -> None:
    machine = Machine(ima=ImaTable(agent=("/*agent",)))
    for name in (b"kexec-cmdline", b".ima", b"kernel_version"):
        machine.device.run(name, AGENT_PROGRAM)
    assert machine.push() == AGENT_MISSING


def test_an_unexpected_agent_is_bad_and_not_missing() -> None:
    machine = Machine()
    machine.device.run(AGENT_PATH, b"evil")
    assert machine.push() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})


def test_an_excluded_agent_is_not_shown() -> None:
    machine = Machine(ima=ImaTable(exclude=("/usr/bin/*",)))
    machine.device.run(AGENT_PATH, b"evil")
    assert machine.push() == AGENT_MISSING, "anybody can write there"
    machine.start_agent()
    assert machine.push() == GOOD


def test_an_agent_that_is_listed_later_was_there_all_the_time() -> None:
    """An update of the package: the agent runs first, and its reference value comes a little later."""
    machine = Machine()
    machine.device.run(AGENT_PATH, b"version 2")
    assert machine.push()[0] is Tier.CONTRAINDICATED
    more = LISTED | {hashlib.sha256(b"version 2").digest(): AGENT_PATH.decode()}
    references = make_references(machine.device, files=more, version=2)
    trust = make_trust(machine.device, handles=(machine.handle,), policy=machine.policy, references=(references,))
    narrower = frozenset({machine.trust.references.label})
    machine.trust = replace(trust, references=replace(trust.references, narrower=narrower))
    assert machine.push() == GOOD


def test_measuring_only_into_another_pcr_shows_nothing() -> None:
    """IMA's rule ``pcr=11``: no quoted PCR binds the entries, so they count for nothing, bad ones and good ones."""
    machine = Machine()
    moved = ima_ng(AGENT_PATH, AGENT_PROGRAM)
    machine.device.ima_list.append((11).to_bytes(4, "little") + moved[4:])
    assert machine.push() == AGENT_MISSING


def test_a_pcr_that_the_policy_gives_to_no_log_shows_nothing_either() -> None:
    machine = Machine(pcrs="sha256:0-11")
    machine.device.selection = parse_selection_text("sha256:0-11")
    record = (11).to_bytes(4, "little") + ima_ng(AGENT_PATH, AGENT_PROGRAM)[4:]
    machine.device.ima_list.append(record)
    machine.device.extend(11, hashlib.sha256(record[28 + 6 + 4 :]).digest())
    assert machine.push() == AGENT_MISSING


def test_a_new_kernel_must_measure_the_agent_again(machine: Machine) -> None:
    """Kexec: the list goes on, but what the kernel before measured does not show what this one measures."""
    machine.device.measure_record(machine.device.ima_list[0])
    assert machine.push() == AGENT_MISSING
    machine.start_agent()
    assert machine.push() == GOOD


def test_a_machine_that_started_kernels_twelve_times_is_good(machine: Machine) -> None:
    for _ in range(12):
        machine.device.measure_record(machine.device.ima_list[0])
        machine.start_agent()
    assert machine.push(full=True, resend={"tcg2": 0, "ima": 0}) == GOOD


def test_without_a_demand_a_list_of_the_kernels_own_entries_affirms_no_files() -> None:
    machine = Machine(ima=ImaTable(agent=()))
    assert machine.push() == GOOD
    assert machine.state is not None
    assert TrustClaim.FILE_SYSTEM not in machine.state.verdict.vector
    machine.device.run(b"/usr/bin/true", b"true")
    assert machine.push() == GOOD
    assert machine.state.verdict.vector[TrustClaim.FILE_SYSTEM] == 2


def test_a_policy_that_changes_its_demand_asks_again(machine: Machine) -> None:
    machine.adopt(version=2, ima=ImaTable(agent=("/opt/agent",)))
    machine.push()
    assert machine.push(full=True, resend={"tcg2": 0, "ima": 0}) == AGENT_MISSING
    machine.adopt(version=3)
    machine.push()
    assert machine.push(full=True, resend={"tcg2": 0, "ima": 0}) == GOOD


def test_the_list_may_come_in_parts(machine: Machine) -> None:
    machine.reboot()
    machine.device.run(b"/usr/bin/cat", b"cat")
    machine.push(limits={"tcg2": 9, "ima": 1})
    assert machine.push(limits={"ima": 1})[0] is Tier.NONE
    assert machine.push() == GOOD


# -- other files that the policy requires ------------------------------------------------------------------------------


def test_a_file_that_the_policy_requires_is_missed() -> None:
    """``ima-file-missing``: the IMA policy was not loaded, or another one."""
    machine = Machine(ima=ImaTable(required=(POLICY_PATH.decode(), "/usr/bin/*e")))
    machine.start_agent()
    machine.device.run(b"/usr/bin/true", b"true")
    taken = machine.take(machine.device.push())
    assert machine.verdict() == (Tier.NONE, {Reason.IMA_FILE_MISSING})
    assert [finding.detail for finding in taken.findings] == [POLICY_PATH.decode()]
    machine.device.run(POLICY_PATH, POLICY_TEXT)
    assert machine.push() == GOOD
    machine.device.run(POLICY_PATH, b"dont_measure\n")
    assert machine.push() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})


# -- hibernation -------------------------------------------------------------------------------------------------------


def test_a_hibernation_leaves_the_list_unproven_until_a_reboot(machine: Machine) -> None:
    """``ima-list-outlived-tpm``: programs from before it still run, and no PCR shows them."""
    outlived = (Tier.NONE, {Reason.IMA_LIST_OUTLIVED_TPM})
    machine.hibernate()
    machine.start_agent()
    event = {Reason.REBOOTED, Reason.HIBERNATED}
    assert machine.push() == (Tier.NONE, {Reason.IMA_LIST_OUTLIVED_TPM} | event)
    assert machine.push() == outlived
    assert machine.push(full=True, resend={"tcg2": 0, "ima": 0}) == outlived, "a baseline that does not repeat it"
    machine.device.previous = b"\1" * 32
    assert Reason.IMA_LIST_OUTLIVED_TPM in machine.push()[1], "nor does a gap end it"
    machine.device.selection = parse_selection_text("sha256:0-11")
    assert machine.push(full=True, resend={"tcg2": 0, "ima": 0}) == outlived, "another selection"
    assert machine.state is not None
    machine.state = decode_state(encode_state(machine.state))
    machine.adopt(version=2, ima=ImaTable(exclude=("/srv/*",)))
    machine.push()
    assert machine.push(full=True, resend={"tcg2": 0, "ima": 0}) == outlived, "another policy, after a restart"
    machine.hibernate()
    assert Reason.IMA_LIST_OUTLIVED_TPM in machine.push()[1], "a second one"
    machine.reboot()
    assert machine.push() == (Tier.AFFIRMING, {Reason.REBOOTED})
    assert machine.push() == GOOD


def test_what_was_found_stays_found_over_a_hibernation(machine: Machine) -> None:
    """The bad program still runs."""
    machine.device.run(b"/opt/evil", b"evil")
    bad = (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})
    assert machine.push() == bad
    machine.hibernate()
    assert machine.push()[0] is Tier.CONTRAINDICATED
    machine.start_agent()
    assert machine.push() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED, Reason.IMA_LIST_OUTLIVED_TPM})
    machine.reboot()
    assert machine.push() == (Tier.AFFIRMING, {Reason.REBOOTED})


def test_a_hibernation_that_only_a_full_push_reports_counts(machine: Machine) -> None:
    """The first push after it was lost; the next is a delta, which repeats nothing."""
    machine.device.run(b"/opt/evil", b"evil")
    assert machine.push()[0] is Tier.CONTRAINDICATED
    machine.hibernate()
    history = tuple(machine.device.transitions)
    machine.device.push()
    assert machine.push()[0] is Tier.CONTRAINDICATED, "of the new epoch nothing is settled"
    machine.device.transitions = list(history)
    verdict = machine.push(full=True, resend={"tcg2": 0, "ima": 0})
    assert verdict[0] is Tier.CONTRAINDICATED
    assert Reason.IMA_LIST_OUTLIVED_TPM in verdict[1]


def test_a_verifier_that_lost_its_state_learns_of_it_from_the_next_baseline(machine: Machine) -> None:
    machine.hibernate()
    machine.start_agent()
    history = tuple(machine.device.transitions)
    machine.push()
    machine.state = None
    machine.device.transitions = list(history)
    verdict = machine.push(full=True, resend={"tcg2": 0, "ima": 0})
    assert verdict == (Tier.NONE, {Reason.IMA_LIST_OUTLIVED_TPM, Reason.HIBERNATED})


def test_a_list_that_can_reproduce_no_quote_any_more_is_accepted_as_undecided(machine: Machine) -> None:
    """The resumed kernel measured more: PCR 10 holds the new start and these entries, the list the old ones between."""
    machine.device.run(b"/usr/bin/true", b"true")
    machine.push()
    before = machine.reset_tpm()
    machine.device.tell(TransitionKind.HIBERNATE)
    machine.device.run(b"/usr/bin/cat", b"cat")
    machine.device.ima_list = [*before, machine.device.ima_list[-1]]
    taken = machine.take(machine.device.push())
    assert taken.refused is None
    assert machine.verdict()[0] is Tier.NONE
    assert {Reason.IMA_LIST_OUTLIVED_TPM, Reason.LOG_REPLAY_MISMATCH} <= machine.verdict()[1]
    machine.reboot()
    assert machine.push() == (Tier.AFFIRMING, {Reason.REBOOTED})


def test_where_no_ima_list_is_required_a_hibernation_is_only_reported() -> None:
    machine = Machine(logs=LogsTable(tcg2=tuple(range(10))), pcrs="sha256:0-9")
    machine.device.selection = parse_selection_text("sha256:0-9")
    machine.hibernate()
    assert machine.push() == (Tier.AFFIRMING, {Reason.HIBERNATED})


def test_a_hibernation_called_a_reboot_leaves_a_list_without_the_agent(machine: Machine) -> None:
    """A lying agent: the kernel measures no file twice, so the agent does not come into the list again."""
    machine.device.run(b"/opt/evil", b"evil")
    assert machine.push()[0] is Tier.CONTRAINDICATED
    machine.reset_tpm()
    assert machine.push() == (Tier.NONE, {Reason.IMA_AGENT_MISSING, Reason.REBOOTED})


def test_clearing_the_tpm_ends_no_hibernation(machine: Machine) -> None:
    machine.hibernate()
    machine.start_agent()
    machine.push()
    machine.device.clear()
    later = replace(machine.handle, id=type(machine.handle.id)(b"\7" * 32), time_us=machine.handle.time_us + 60_000_000)
    machine.trust = replace(machine.trust, handles={**machine.trust.handles, later.id: later})
    machine.now_us = later.time_us + 5_000_000
    machine.device.sync(later)
    verdict = machine.push(full=True, resend={"tcg2": 0, "ima": 0})
    assert Reason.TPM_CLEARED in verdict[1]
    assert Reason.IMA_LIST_OUTLIVED_TPM in verdict[1]


# -- the kernel's command line -----------------------------------------------------------------------------------------


def test_an_argument_that_is_claimed_and_was_not_measured_is_not_believed() -> None:
    """``kernel-argument-missing``: also when the claim changes in a push without any new entry."""
    boot, text = BootTable(arguments=("ima_policy=tcb",)), "quiet ima_policy=tcb"

    def machine(measured: str) -> Machine:
        made = Machine()
        made.device.measure_boot(9, measured.encode("utf-16-le") + b"\0\0")
        made.device.ima_list.clear()
        made.device.pcrs[10] = bytes(32)
        made.device.measure_aggregate()
        made.adopt(boot=boot)
        made.start_agent()
        return made

    good = machine(text)
    assert good.push(claims={"kernel-command-line": text}) == GOOD
    assert good.push(claims={"kernel-command-line": "quiet"}) == (Tier.NONE, {Reason.BOOT_UNKNOWN})
    assert good.push(claims={"kernel-command-line": text}) == GOOD
    assert machine("quiet").push(claims={"kernel-command-line": text}) == (Tier.NONE, {Reason.BOOT_UNKNOWN})
    bad = machine("quiet")
    assert bad.push(claims={"kernel-command-line": "quiet"})[1] == {Reason.KERNEL_ARGUMENT_MISSING}
    bad.push(claims={"kernel-command-line": text})
    assert bad.verdict() == (Tier.CONTRAINDICATED, {Reason.KERNEL_ARGUMENT_MISSING, Reason.BOOT_UNKNOWN})
    bad.adopt(version=2, boot=BootTable())
    assert bad.push() == GOOD
