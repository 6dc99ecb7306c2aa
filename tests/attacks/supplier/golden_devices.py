"""What an endorser learns from a golden device: nothing that its quote does not bind, nothing from an empty bank."""

from collections.abc import Callable
from dataclasses import replace

from endorser.core.learning import learn_from_pushes
from schemas.errors import ConfigError
from schemas.hashes import SHA256
from schemas.messages.evidence import Evidence, LogIncrement
from schemas.reasons import Reason
from schemas.tpm.pcr import parse_selection_text
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen
from tests.builders.log_bytes import ima_ng
from tests.worlds.device import FakeDevice, make_endorsement, make_handle

SLIP = Kind(by=Attacker.NETWORK, goal="slip a digest into the values that are learned from a golden device")
EMPTY = Kind(by=Attacker.SUPPLIER, goal="have reference values made that fit every device")
PCRS = "sha256:0-9"
EVIL = ima_ng(b"/tmp/evil", b"evil")


def _golden() -> tuple[FakeDevice, list[Evidence]]:
    device = FakeDevice()
    device.sync(make_handle())
    device.run(b"/usr/bin/one", b"1")
    pushes = [device.push()]
    device.run(b"/usr/bin/two", b"2")
    pushes.append(device.push())
    return device, pushes


def _learned(device: FakeDevice, pushes: list[Evidence], pcrs: str = PCRS) -> Seen:
    """Whether the evil digest was learned, or nothing at all."""
    try:
        learned = learn_from_pushes(make_endorsement(device.ueid, device.public), pushes, parse_selection_text(pcrs))
    except ConfigError as error:
        return Seen(verdict="refused", reasons=(Reason.CONFIGURATION_INVALID.value,), detail=error.detail)
    return Seen(verdict="slipped in" if SHA256.digest(b"evil") in learned.values.files else "left out")


def _with(push: Evidence, records: bytes) -> Evidence:
    return replace(
        push, unsigned_increments={**push.unsigned_increments, "ima": LogIncrement(records=records, total=99)}
    )


def instead_of_the_first(pushes: list[Evidence]) -> list[Evidence]:
    """instead of the first push's entries."""
    return [_with(pushes[0], EVIL), *pushes[1:]]


def instead_of_the_last(pushes: list[Evidence]) -> list[Evidence]:
    """instead of the last push's entries."""
    return [*pushes[:-1], _with(pushes[-1], EVIL)]


def behind_the_last(pushes: list[Evidence]) -> list[Evidence]:
    """behind the last push's entries."""
    return [*pushes[:-1], _with(pushes[-1], pushes[-1].unsigned_increments["ima"].records + EVIL)]


def of_another_pcr(pushes: list[Evidence]) -> list[Evidence]:
    """behind the last push's entries, for a PCR that is not quoted."""
    other = ima_ng(b"/tmp/evil", b"evil", pcr_index=12)
    return [*pushes[:-1], _with(pushes[-1], pushes[-1].unsigned_increments["ima"].records + other)]


def in_a_push_of_a_stranger(pushes: list[Evidence]) -> list[Evidence]:
    """in a push under the same name, by another key."""
    stranger = FakeDevice()
    stranger.sync(make_handle())
    stranger.run(b"/tmp/evil", b"evil")
    return [*pushes, stranger.push()]


@SLIP.ways(
    "refused",
    "left out",
    moves=(instead_of_the_first, instead_of_the_last, behind_the_last, of_another_pcr, in_a_push_of_a_stranger),
)
def entry_put_in(scene: Scene, move: Callable[[list[Evidence]], list[Evidence]]) -> Seen:
    """An entry of an evil file is put into the captured evidence,"""
    device, pushes = _golden()
    return _learned(device, move(pushes))


@EMPTY.attack("refused", code=Reason.CONFIGURATION_INVALID)
def bank_that_the_firmware_leaves_alone(scene: Scene) -> Seen:
    """The golden device's firmware measures into another bank than the one that is learned."""
    device = FakeDevice()
    device.pcrs.update({index: bytes(32) for index in range(11)})
    device.boot_log, device.ima_list = device.boot_log[:1], []
    device.run(b"/usr/bin/one", b"1")
    device.sync(make_handle())
    return _learned(device, [device.push()])


@EMPTY.attack("refused", code=Reason.CONFIGURATION_INVALID)
def pcr_that_is_not_quoted(scene: Scene) -> Seen:
    """A PCR is to be learned that the golden device does not quote."""
    device, pushes = _golden()
    return _learned(device, pushes, "sha256:0-9,11")
