"""IMA lists that the TPM confirms, and that are too short to show which programs ran."""

import hashlib
from collections.abc import Callable

from schemas.messages.evidence import Evidence
from schemas.reasons import Reason
from schemas.transitions import TransitionKind
from schemas.verdicts import Tier
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_state
from tests.builders.log_bytes import ima_ng
from tests.worlds.device import GOOD_FILES, make_references, make_trust
from tests.worlds.step_bench import Bench
from verifier_worker.core.policy.ima_demands import AGENT, ImaTable

SHORT = Kind(by=Attacker.ROOT, goal="be affirmed while programs run that the kernel does not measure")
AGENT_PATH, AGENT_PROGRAM = AGENT[0].encode(), b"agent"


def _affirmed() -> Bench:
    """A device whose list holds its agent, under a policy that demands it."""
    bench = Bench(policy_changes={"ima": ImaTable()})
    files = {**GOOD_FILES, AGENT_PATH: AGENT_PROGRAM}
    listed = {hashlib.sha256(content).digest(): path.decode() for path, content in files.items()}
    references = make_references(bench.device, files=listed)
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    bench.device.run(AGENT_PATH, AGENT_PROGRAM)
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())
    return bench


def _reset(bench: Bench) -> None:
    """The TPM and PCR 10 start again; the kernel's first entry is measured."""
    bench.device.reboot()
    bench.device.sync(bench.handle)


def no_policy(bench: Bench) -> Evidence:
    """The IMA policy is removed before a reboot."""
    _reset(bench)
    return bench.device.push()


def some_files(bench: Bench) -> Evidence:
    """The IMA policy measures a few good files and not the agent."""
    _reset(bench)
    bench.device.run(b"/usr/bin/true", b"true")
    return bench.device.push()


def other_path(bench: Bench) -> Evidence:
    """The agent's program is measured under another path."""
    _reset(bench)
    bench.device.run(b"/tmp/usr/bin/attester-agent", AGENT_PROGRAM)
    return bench.device.push()


def other_pcr(bench: Bench) -> Evidence:
    """The rule ``pcr=11`` moves all measurements into a PCR that is not quoted."""
    _reset(bench)
    bench.device.ima_list.append(ima_ng(AGENT_PATH, AGENT_PROGRAM, pcr_index=11))
    return bench.device.push()


def new_kernel(bench: Bench) -> Evidence:
    """Kexec into a kernel without an IMA policy, which continues the list."""
    bench.device.measure_record(bench.device.ima_list[0])
    return bench.device.push()


def hibernation_called_a_reboot(bench: Bench) -> Evidence:
    """The machine hibernates; the agent does not report it, and sends the part of the list that the quote confirms."""
    _reset(bench)
    return bench.device.push()


def keyring(bench: Bench) -> Evidence:
    """The kernel measures buffers, such as a keyring's keys, and no file."""
    _reset(bench)
    bench.device.run(b".ima", AGENT_PROGRAM)
    bench.device.run(b"kexec-cmdline", AGENT_PROGRAM)
    return bench.device.push()


@SHORT.ways(
    "none",
    code=Reason.IMA_AGENT_MISSING,
    moves=(no_policy, some_files, other_path, other_pcr, new_kernel, hibernation_called_a_reboot, keyring),
)
def without_the_agent(scene: Scene, move: Callable[[Bench], Evidence]) -> Seen:
    """A list without the agent that sends it."""
    bench = _affirmed()
    bench.take(move(bench))
    seen = [of_state(bench)]
    for _ in range(3):
        bench.take(bench.device.push())
        seen.append(of_state(bench))
    return best_for_the_attacker(seen)


@SHORT.attack("contraindicated", code=Reason.IMA_LIST_OUTLIVED_TPM)
def hibernation(scene: Scene) -> Seen:
    """An unknown program runs, the machine hibernates, and the agent is measured again, with another signature."""
    bench = _affirmed()
    bench.device.run(b"/opt/evil", b"evil")
    bench.take(bench.device.push())
    _reset(bench)
    bench.device.tell(TransitionKind.HIBERNATE)
    bench.device.run(AGENT_PATH, AGENT_PROGRAM)
    bench.take(bench.device.push())
    bench.device.sent, bench.device.previous = {}, None
    bench.take(bench.device.push())
    return of_state(bench)
