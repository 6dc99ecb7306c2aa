"""Fuzz target: boot logs, cut, replayed, read for facts, and shown."""

from schemas.boot_log.facts import BootFacts
from schemas.boot_log.quirks import without_padding
from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS
from schemas.replay.log_replay import TCG2, Replay, ReplayState
from schemas.text.boot_log import boot_log_lines
from tests.builders.log_bytes import FIRMWARE, measured, sha1_event, spec_id_record, startup_locality, uefi_variable

_SPEC_ID = spec_id_record({4: 20, 11: 32})

SEEDS = [
    (FIRMWARE / "binary_bios_measurements").read_bytes(),
    _SPEC_ID + startup_locality(3) + measured(7, uefi_variable("SecureBoot", b"\1")) + measured(7, bytes(4)),
    _SPEC_ID + measured(4, b"x") + bytes(100),
    sha1_event(0, 8, bytes(20), b"v\0001\0") + sha1_event(7, 4, bytes(20), bytes(4)) + b"\xff" * 40,
]


def one(data: bytes) -> None:
    """Anything but a result or a ``PeerError`` is a bug."""
    try:
        log = without_padding(data)
        replay = Replay(ReplayState(banks=HASH_ALGORITHMS), {TCG2: log})
        BootFacts().after(replay.whole.consumed[TCG2].events, HASH_ALGORITHMS)
        for _ in boot_log_lines(log):
            pass
    except PeerError:
        return
