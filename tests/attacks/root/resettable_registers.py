"""PCRs that root can reset without a reboot: 16 and 23, and those of a dynamic launch."""

from collections.abc import Callable

from schemas.errors import ConfigError
from schemas.hashes import SHA256
from schemas.reasons import Reason
from schemas.tpm.pcr import parse_selection_text
from schemas.verdicts import Tier
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_state
from tests.worlds.device import make_references, make_trust
from tests.worlds.step_bench import Bench
from verifier_worker.core.policy.ima_demands import ImaTable
from verifier_worker.core.policy.policy_file import LogsTable, LogTable

RESET = Kind(by=Attacker.ROOT, goal="be affirmed after a PCR was reset to hide what it had measured")
LOG = "cel/app"


def _bench(*, resettable: bool = True, **policy: object) -> Bench:
    """A policy that gives PCR 16 to an application's log."""
    given = LogTable(pcrs=(16,), resettable=True) if resettable else (16,)
    logs = LogsTable(tcg2=tuple(range(10)), ima=(10,), cel={"app": given})
    bench = Bench(policy_changes={"pcrs": "sha256:0-10,16", "logs": logs, **policy})
    bench.device.selection = parse_selection_text("sha256:0-10,16")
    files = {**make_references(bench.device).files, SHA256.digest(b"good"): "/etc/app.conf"}
    references = make_references(bench.device, files=files)
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    return bench


def _reset(bench: Bench) -> None:
    bench.device.pcrs[16] = bytes(32)
    bench.device.cel_logs[LOG] = []
    bench.device.sent, bench.device.previous = {}, None
    bench.device.measure_file(LOG, "/etc/app.conf", b"good", 16)


@RESET.attack("contraindicated", code=Reason.FILE_UNEXPECTED)
def after_it_was_found(scene: Scene) -> Seen:
    """A bad configuration was measured into PCR 16 and found; PCR 16 is reset, the log begun again."""
    bench = _bench()
    bench.device.measure_file(LOG, "/etc/app.conf", b"good", 16)
    bench.take(bench.device.push())
    bench.device.measure_file(LOG, "/etc/app.conf", b"evil", 16)
    bench.take(bench.device.push())
    _reset(bench)
    bench.take(bench.device.push())
    return of_state(bench)


def short(name: str) -> str:
    """the path alone."""
    return f"/tmp/{name}"


def long(name: str) -> str:
    """a path so long that results cut it short."""
    return f"/tmp/{name:x<300}"


@RESET.ways("contraindicated", code=Reason.FILE_UNEXPECTED, moves=(short, long))
def called_by_a_path_that_needs_no_value(scene: Scene, move: Callable[[str], str]) -> Seen:
    """As before; the policy excludes /tmp/* from the IMA list, and the bad entry of the CEL log is called so:"""
    bench = _bench(ima=ImaTable(exclude=("/tmp/*",), agent=()))
    bench.device.measure_file(LOG, "/etc/app.conf", b"good", 16)
    bench.take(bench.device.push())
    bench.device.measure_file(LOG, move("evil"), b"evil", 16)
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.CONTRAINDICATED
    _reset(bench)
    bench.take(bench.device.push())
    return of_state(bench)


@RESET.attack("refused", code=Reason.CONFIGURATION_INVALID)
def policy_that_does_not_know_it(scene: Scene) -> Seen:
    """The operator's policy gives PCR 16 to a log as if it could not be reset."""
    try:
        _bench(resettable=False)
    except ConfigError as error:
        return Seen(verdict="refused", reasons=(error.reason.value,), detail=error.detail)
    return Seen(verdict="taken")
