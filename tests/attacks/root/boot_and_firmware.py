"""The boot log is bent: Secure Boot, boot loaders, firmware."""

from collections.abc import Callable

from schemas.boot_log.event_types import EventType
from schemas.hashes import SHA256, SHA384
from schemas.messages.evidence import LogIncrement
from schemas.reasons import Reason
from schemas.tpm.pcr import encode_selection, parse_selection_text
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.hand_made import cel_record, listed, push_of
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_state, of_step
from tests.builders import tpm_bytes
from tests.builders.log_bytes import agile_event, ima_record, measured, spec_id_record, uefi_variable
from tests.worlds.device import FakeDevice, make_references, make_trust
from tests.worlds.step_bench import Bench
from verifier_worker.core.policy.policy_file import BootTable, LogsTable

SECURE_BOOT = Kind(by=Attacker.ROOT, goal="be affirmed by a policy that demands Secure Boot, without it")
CLAIM = Kind(by=Attacker.ROOT, goal="have a result claim Secure Boot or a boot image that was not used")
FIRMWARE = Kind(by=Attacker.ROOT, goal="start from other firmware or another boot loader, and be affirmed")

ON, OFF, END = uefi_variable("SecureBoot", b"\1"), uefi_variable("SecureBoot", b"\0"), bytes(4)
CONFIG = EventType.EV_EFI_VARIABLE_DRIVER_CONFIG

Event = tuple[int, bytes, bytes]  # type, data, hashed content


def _event(data: bytes, kind: int = CONFIG, hashed: bytes | None = None) -> Event:
    return kind, data, data if hashed is None else hashed


def off() -> list[Event]:
    """The firmware measured that it is off."""
    return [_event(OFF), _event(END, EventType.EV_SEPARATOR)]


def off_then_on() -> list[Event]:
    """Off; after the boot, root extends that it is on."""
    return [*off(), _event(ON), _event(END, EventType.EV_SEPARATOR)]


def off_relabelled() -> list[Event]:
    """The firmware's own events get types that nobody reads, and events of root's say that it is on."""
    return [
        _event(b"junk", EventType.EV_POST_CODE, OFF),
        _event(b"junk", EventType.EV_POST_CODE, END),
        _event(ON),
        _event(END, EventType.EV_SEPARATOR),
    ]


def on_over_the_digest_of_off() -> list[Event]:
    """The event says on, over the digest of off."""
    return [_event(ON, CONFIG, OFF), _event(END, EventType.EV_SEPARATOR)]


def no_separator() -> list[Event]:
    """The event says on, and the firmware's part has no end."""
    return [_event(ON)]


def nothing_about_it() -> list[Event]:
    """No event speaks of it."""
    return [_event(END, EventType.EV_SEPARATOR)]


def on_and_off() -> list[Event]:
    """Both are said before the separator."""
    return [_event(ON), _event(OFF), _event(END, EventType.EV_SEPARATOR)]


def debug_mode() -> list[Event]:
    """The separator of PCR 7 says that the firmware failed."""
    return [_event(ON), _event(b"\1\0\0\0", EventType.EV_SEPARATOR)]


def _booted(events: list[Event]) -> Bench:
    """A device whose PCR 7 holds these events alone."""
    bench = Bench(policy_changes={"boot": BootTable(secure_boot=True)})
    device = bench.device
    device.boot_log = [spec_id_record({SHA256.tpm_id: 32})]
    device.pcrs.update({index: bytes(32) for index in range(11)})
    device.ima_list = []
    for index in range(7):
        device.measure_boot(index, b"firmware %d" % index)
    for kind, data, hashed in events:
        digest = SHA256.digest(hashed)
        device.boot_log.append(agile_event(7, kind, {SHA256.tpm_id: digest}, data))
        device.extend(7, digest)
    device.run(b"/usr/bin/true", b"true")
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy)
    return bench


@SECURE_BOOT.ways(
    "contraindicated",
    "none",
    moves=(
        off,
        off_then_on,
        off_relabelled,
        on_over_the_digest_of_off,
        no_separator,
        nothing_about_it,
        on_and_off,
        debug_mode,
    ),
)
def pcr_7_says_something_else(scene: Scene, move: Callable[[], list[Event]]) -> Seen:
    """All PCRs have reference values; the events of PCR 7:"""
    bench = _booted(move())
    return of_step(bench.take(bench.device.push()))


@SECURE_BOOT.attack("contraindicated", code=Reason.SECURE_BOOT_OFF)
def events_of_pcr_7_left_to_the_next_push(scene: Scene) -> Seen:
    """Off; the boot log arrives in parts that split the events of PCR 7."""
    bench = _booted(off_then_on())
    for limit in (8, 1, 1, 1, 1, 1):
        bench.take(bench.device.push(limits={"tcg2": limit}))
    return of_state(bench)


@SECURE_BOOT.attack("contraindicated", code=Reason.SECURE_BOOT_OFF)
def policy_with_a_weight_of_its_own_is_still_asked_after_a_gap(scene: Scene) -> Seen:
    """Off was found; then the device sends only deltas that follow a gap."""
    bench = _booted(off())
    bench.take(bench.device.push())
    bench.device.push()
    bench.take(bench.device.push())
    return of_state(bench)


@FIRMWARE.attack("contraindicated", code=Reason.BOOT_LOADER_UNEXPECTED)
def another_boot_loader(scene: Scene) -> Seen:
    """A boot loader that the policy does not list, in a fleet whose PCR 4 has no reference value."""
    bench = Bench(policy_changes={"boot": BootTable(loaders=("ab" * 32,))})
    device = bench.device
    device.boot_log = [spec_id_record({SHA256.tpm_id: 32})]
    device.pcrs.update({index: bytes(32) for index in range(11)})
    device.ima_list = []
    for index in range(8):
        if index == 4:
            digest = SHA256.digest(b"evil loader")
            kind = EventType.EV_EFI_BOOT_SERVICES_APPLICATION
            device.measure_boot(4, END)
            device.boot_log.append(agile_event(4, kind, {SHA256.tpm_id: digest}, bytes(32)))
            device.extend(4, digest)
        else:
            device.measure_boot(index, b"firmware %d" % index)
    device.run(b"/usr/bin/true", b"true")
    registers = {SHA256: {index: frozenset({device.pcrs[index]}) for index in range(10) if index != 4}}
    references = make_references(device, registers=registers)
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    return of_step(bench.take(device.push()))


@FIRMWARE.attack("contraindicated", code=Reason.PCR_UNEXPECTED)
def one_more_event(scene: Scene) -> Seen:
    """An option ROM measured one event more into PCR 2."""
    bench = scene.bench()
    bench.device.reboot()
    bench.device.measure_boot(2, b"an option ROM")
    bench.device.sync(bench.handle)
    return of_step(bench.take(bench.device.push()))


@FIRMWARE.attack("refused", code=Reason.LOG_REPLAY_MISMATCH)
def log_of_a_good_boot(scene: Scene) -> Seen:
    """It sends the boot log of a good boot over the PCRs of the bad one."""
    bench = scene.bench()
    good = bench.device.boot_log[:]
    bench.device.reboot()
    bench.device.measure_boot(4, b"another boot loader")
    bench.device.boot_log = good
    bench.device.sync(bench.handle)
    return of_step(bench.take(bench.device.push()))


@FIRMWARE.attack("contraindicated", code=Reason.BOOT_AGGREGATE_MISMATCH)
def list_of_a_good_boot(scene: Scene) -> Seen:
    """PCRs 0-9 are good; the IMA list begins with the aggregate of another boot."""
    bench = Bench()
    device = bench.device
    device.ima_list, device.pcrs[10] = [], bytes(32)
    other = FakeDevice(label=b"other")
    other.measure_boot(4, b"another boot loader")
    aggregate = SHA256.digest(b"".join(other.pcrs[index] for index in range(10)))
    template = b"sha256:\0" + aggregate
    device.measure_record(_aggregate(template))
    return of_step(bench.take(device.push()))


def _aggregate(digest: bytes) -> bytes:
    return ima_record(b"ima-ng", digest, b"boot_aggregate\0")


def _claims(bench: Bench, names: tuple[str, ...]) -> Seen:
    assert bench.state is not None
    claims = bench.state.verdict.verified_claims
    claimed = [name for name in names if name in claims]
    return Seen(verdict=f"claims {', '.join(claimed)}" if claimed else "no such claim")


@CLAIM.attack("no such claim")
def secure_boot_of_a_pcr_that_is_not_quoted(scene: Scene) -> Seen:
    """The policy asks for PCR 0 alone; the boot log speaks of PCR 7, which is not quoted."""
    bench = Bench(policy_changes={"pcrs": "sha256:0", "logs": LogsTable()})
    device = bench.device
    device.selection = parse_selection_text("sha256:0-6,8-10")
    device.measure_boot(7, ON)
    device.measure_boot(7, END)
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy)
    bench.take(device.push())
    return _claims(bench, ("secure-boot",))


@CLAIM.attack("no such claim")
def secure_boot_behind_another_log(scene: Scene) -> Seen:
    """The firmware's two events of PCR 7 are hidden in another log; the boot log shows two of root's."""
    bench = Bench(policy_changes={"pcrs": "sha256:0,7,10", "logs": LogsTable(tcg2=(0,), ima=(10,))})
    device = bench.device
    device.pcrs[7], device.pcrs[10], device.ima_list = bytes(32), bytes(32), []
    for content in (OFF, END, ON, END):
        device.extend(7, SHA256.digest(content))
    device.run(b"/usr/bin/true", b"true")
    references = make_references(device, registers={})
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    hidden = [cel_record(number, 7, (SHA256, SHA256.digest(each))) for number, each in enumerate((OFF, END))]
    boot = [spec_id_record({SHA256.tpm_id: 32})]
    boot += [measured(index, b"firmware %d" % index, banks=(SHA256,)) for index in range(7)]
    boot += [measured(7, ON, CONFIG, banks=(SHA256,)), measured(7, END, banks=(SHA256,))]
    listed_files = LogIncrement(records=b"".join(device.ima_list), total=2)
    first = {"cel/x": listed(*hidden), "ima": listed_files}
    bench.take(push_of(device, first, {}, logs={"cel/x": 0, "tcg2": 0, "ima": 0}))
    later = push_of(device, {"tcg2": listed(*boot)}, {}, logs={"cel/x": 2, "tcg2": 0, "ima": 1}, previous=None)
    taken = bench.take(later)
    assert taken.state is not None
    assert taken.state.settled
    return _claims(bench, ("secure-boot",))


@CLAIM.attack("no such claim")
def images_of_which_two_banks_disagree(scene: Scene) -> Seen:
    """Two banks are quoted, and tell two stories of the boot images."""
    bench = Bench(policy_changes={"pcrs": "sha256:4", "logs": LogsTable(tcg2=(4,))})
    device = bench.device
    device.selection = parse_selection_text("sha256:4+sha384:4")
    evil, good = b"evil image", b"good image"
    registers = {SHA256: bytes(32), SHA384: bytes(48)}
    for content in (END, evil):
        for bank, old in registers.items():
            registers[bank] = bank.digest(old + bank.digest(content))
    registers[SHA384] = SHA384.digest(registers[SHA384] + SHA384.digest(good))

    def quote(extra_data: bytes) -> tuple[bytes, bytes]:
        values = b"".join(registers[bank] for bank, _ in device.selection)
        attested = encode_selection(device.selection) + tpm_bytes.sized(SHA256.digest(values))
        return device.attest(attested, tpm_bytes.TPM_ST_ATTEST_QUOTE, extra_data)

    device.quote = quote  # type: ignore[method-assign]  # a TPM with two banks
    events = [
        {SHA384.tpm_id: SHA384.digest(END)},
        {SHA256.tpm_id: SHA256.digest(END), SHA384.tpm_id: SHA384.digest(evil)},
        {SHA256.tpm_id: SHA256.digest(evil), SHA384.tpm_id: SHA384.digest(good)},
    ]
    boot = [spec_id_record({SHA256.tpm_id: 32, SHA384.tpm_id: 48})]
    boot += [agile_event(4, EventType.EV_EFI_BOOT_SERVICES_APPLICATION, digests, b"") for digests in events]
    references = make_references(device, registers={})
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    taken = bench.take(push_of(device, {"tcg2": LogIncrement(records=b"".join(boot), total=len(boot))}, {}))
    assert taken.refused is None
    return _claims(bench, ("boot-images",))


@CLAIM.attack("no such claim")
def before_any_quote_settles_it(scene: Scene) -> Seen:
    """A boot log with Secure Boot arrives in parts, and its end never does."""
    bench = Bench()
    device = bench.device
    device.measure_boot(7, ON)
    device.measure_boot(7, END)
    device.measure_boot(5, b"never sent")
    for _ in range(5):
        bench.take(device.push(limits={"tcg2": 2, "ima": 0}))
    return _claims(bench, ("secure-boot",))


@CLAIM.attack("no such claim")
def after_a_gap(scene: Scene) -> Seen:
    """A quote after a gap: PCR 7 may have been extended since the one that showed it."""
    bench = _booted([_event(ON), _event(END, EventType.EV_SEPARATOR)])
    bench.take(bench.device.push())
    bench.device.push()
    bench.take(bench.device.push())
    return _claims(bench, ("secure-boot",))
