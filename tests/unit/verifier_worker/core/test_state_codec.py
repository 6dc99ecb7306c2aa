"""The stored form of a state: all of it comes back, and anything else reads as absent."""

import hashlib
from dataclasses import replace

import cbor2
import pytest

from schemas.boot_log.facts import BootFacts, SecureBoot
from schemas.boot_log.records import BootLogFormat
from schemas.hashes import SHA1, SHA256, SHA384
from schemas.identifiers import HandleId
from schemas.ima.records import ImaBankMode
from schemas.messages.evidence import Transition
from schemas.messages.result import Rejections
from schemas.reasons import Reason
from schemas.replay.log_replay import ReplayState
from schemas.time_model import ClockAnchor
from schemas.tpm.pcr import PcrValues, parse_selection_text
from schemas.transitions import TransitionKind
from schemas.verdicts import Freshness, Tier, TrustClaim
from verifier_worker.core.accounted import Accounted
from verifier_worker.core.clock_record import ClockRecord
from verifier_worker.core.finding import Finding
from verifier_worker.core.lasting import Lasting
from verifier_worker.core.state import AttesterState, Measured, SyncPoint, Verdict
from verifier_worker.core.state_codec import decode_state, encode_state

MAX_BYTES = 1024 * 1024


def anchor(number: int, time_ms: int | None) -> ClockAnchor:
    return ClockAnchor(clock_ms=number, after_us=number + 1, before_us=number + 2, time_ms=time_ms)


# No two values are alike, so that none can stand in the place of another.
FULL = AttesterState(
    environment=b"\x01" * 34,
    reset_count=2,
    restart_count=3,
    clock_ms=4,
    sequence=5,
    evidence=b"\x06" * 32,
    envelope=b"\x07" * 32,
    chained=b"\x08" * 32,
    sync=SyncPoint(
        digest=b"\x09" * 32,
        handle=HandleId(b"\x0a" * 32),
        clock_ms=11,
        reset_count=12,
        restart_count=13,
        time_ms=14,
        stamped_before_us=15,
    ),
    replay=ReplayState(
        banks=(SHA256, SHA384, SHA1),
        ima_bank_modes={SHA256: ImaBankMode.HASHED, SHA384: ImaBankMode.PADDED_SHA1},
        registers={SHA256: {0: b"\x10" * 32, 10: b"\x11" * 32}, SHA1: {4: b"\x12" * 20}},
        next_index={"tcg2": 16, "ima": 17},
        boot_log_format=BootLogFormat(digest_sizes=((SHA1.tpm_id, 20), (SHA256.tpm_id, 32))),
        startup_locality=3,
        padded={SHA384: {10: b"\x13" * 48}},
    ),
    settled=True,
    selection=parse_selection_text("sha256:0-10+sha1:4"),
    unlogged=PcrValues({SHA256: {8: b"\x14" * 32}, SHA1: {9: b"\x15" * 20}}),
    tails={"ima": b"\x16"},
    claims={"name": "x", "blob": b"\x17", "answer": 19, "flag": True},
    measured=Measured(
        label="policy good/1",
        owners={(SHA256.tpm_id, 0): ("tcg2",), (SHA1.tpm_id, 10): ("ima", "tcg2")},
        unexpected=((b"\x18" * 32, "/a"), (b"\x19" * 32, "/b")),
        unexpected_total=20,
        excluded=21,
        violations=22,
        boot=BootFacts(
            version="1.2",
            versions=1,
            version_ended=True,
            images=(b"\x1a" * 32,),
            images_total=23,
            images_unknown=False,
            secure_boot_value=SecureBoot.DISABLED,
            secure_boot_broken=True,
            secure_boot_ended=False,
            test_keys=True,
            load_options=b"\x0f" * 32,
        ),
        aggregate_differs=True,
        aggregates=((b"sha256", b"\x1b" * 32), (b"sha1", b"\x1c" * 20)),
        accepted=(b"\x1e" * 32,),
        first_aggregate=(b"sha256", b"\x1b" * 32),
        aggregate_unverified=True,
        seen=("/a*", "/usr/bin/attester-agent"),
        any_file=True,
    ),
    lasting=Lasting(
        findings=(Finding(reason=Reason.PCR_UNEXPECTED, detail="PCR sha1:4", digest=b"\x1f" * 20),),
        more=frozenset({Reason.FILE_UNEXPECTED, Reason.SECURE_BOOT_OFF}),
        more_label="policy good/0",
        of_earlier_boot=True,
        outlived_tpm=True,
    ),
    verdict=Verdict(
        status=Tier.WARNING,
        freshness=Freshness.PENDING,
        reasons=(Reason.REBOOTED, Reason.FILE_UNEXPECTED),
        vector={TrustClaim.EXECUTABLES: 33, TrustClaim.HARDWARE: 2},
        verified_claims={"secure-boot": "enabled", "boot-images-total": 2},
    ),
    received_us=24,
    received_after=HandleId(b"\x1d" * 32),
    made_after_us=25,
    made_before_us=26,
    deadline_us=27,
    clock_safe=False,
    clock=ClockRecord(
        first=anchor(30, None),
        last=anchor(40, 44),
        timed=anchor(50, 54),
        rate_ppm=(-60, 61),
        suspect_ppm=(-62, 63),
        suspect=Reason.CLOCK_TOO_SLOW,
    ),
    handle_time_us=28,
    went_back=True,
    firmware_version=2**64 - 1,
    rejections=Rejections(count=70, last=Reason.MALFORMED, last_us=71),
    transitions=(Transition(kind=TransitionKind.KEXEC, clock_ms=80, reset_count=81, restart_count=82),),
    accounted=Accounted(
        until=83,
        reported=frozenset({86, 88}),
        judged=89,
        judged_ms=92,
        repeatable=(Transition(kind=TransitionKind.SUSPEND, clock_ms=93, reset_count=81, restart_count=94),),
    ),
)
FULL = replace(FULL, earlier=replace(FULL, sequence=91))
BARE = replace(
    FULL,
    chained=None,
    sync=replace(FULL.sync, time_ms=None, stamped_before_us=None),
    replay=ReplayState(banks=(SHA256,)),
    settled=False,
    unlogged=PcrValues({}),
    tails={},
    lasting=Lasting(),
    unsettled_us=90,
    earlier=None,
    claims={},
    measured=Measured(),
    verdict=Verdict(),
    received_after=None,
    made_after_us=None,
    made_before_us=None,
    deadline_us=None,
    clock=ClockRecord(),
    clock_safe=True,
    handle_time_us=None,
    went_back=False,
    rejections=None,
    transitions=(),
    accounted=Accounted(),
)


@pytest.mark.parametrize("state", [FULL, BARE])
def test_all_of_a_state_comes_back(state: AttesterState) -> None:
    decoded = decode_state(encode_state(state))
    assert decoded == state
    assert decoded is not None
    assert decoded.replay.padded == state.replay.padded  # not compared with the rest
    assert decoded.appraised is None


@pytest.mark.parametrize(
    "name", ["version_ended", "images_unknown", "secure_boot_broken", "secure_boot_ended", "test_keys"]
)
def test_every_flag_of_a_boot_has_its_own_place(name: str) -> None:
    boot = replace(BootFacts(), **{name: True})  # type: ignore[arg-type]  # field by name
    decoded = decode_state(encode_state(replace(BARE, measured=Measured(boot=boot))))
    assert decoded is not None
    assert decoded.measured.boot == boot


@pytest.mark.parametrize("name", ["settled", "clock_safe", "went_back"])
@pytest.mark.parametrize("value", [False, True])
def test_so_has_every_flag_of_a_state(name: str, value: bool) -> None:
    state = replace(BARE, **{name: value})  # type: ignore[arg-type]  # field by name
    assert decode_state(encode_state(state)) == state


def test_the_types_of_what_comes_back_are_those_of_a_state() -> None:
    decoded = decode_state(encode_state(FULL))
    assert decoded is not None
    assert isinstance(decoded.verdict.status, Tier)
    assert isinstance(decoded.verdict.freshness, Freshness)
    assert all(isinstance(each, Reason) for each in decoded.verdict.reasons)
    assert all(isinstance(each, TrustClaim) for each in decoded.verdict.vector)
    assert isinstance(decoded.clock.suspect, Reason)
    assert isinstance(decoded.measured.boot.secure_boot_value, SecureBoot)
    assert set(map(type, decoded.replay.ima_bank_modes.values())) == {ImaBankMode}


def test_the_stored_form_is_that_of_its_version() -> None:
    """Each change of the form needs another version; otherwise a verifier misreads the states of the release before."""
    encoded = encode_state(FULL)
    assert cbor2.loads(encoded)[0] == 8
    assert hashlib.sha256(encoded).hexdigest()[:16] == "4dda5c625ea166a3"


def changed(index: int, value: object) -> bytes:
    items = cbor2.loads(encode_state(FULL))
    items[index] = value
    return cbor2.dumps(items, canonical=True)


def test_a_state_of_another_version_reads_as_absent() -> None:
    assert decode_state(changed(0, 8)) == FULL
    for version in (7, 9, None):
        assert decode_state(changed(0, version)) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        encode_state(FULL)[:-1],
        encode_state(FULL) + b"\0",
        cbor2.dumps([]),
        cbor2.dumps(4),
        cbor2.dumps([4]),
        cbor2.dumps({0: 4}),
        changed(4, [[9999], {}, {}, {}, None, 0, {}]),  # no such bank
        changed(6, {9999: {}}),
        changed(9, ["good", "fresh", [], {}, {}]),  # no such tier
        changed(9, ["none", "fresh", ["no-such-reason"], {}, {}]),
        changed(5, [True, b""]),
        changed(3, None),
        changed(1, [b"", 0, 0]),
    ],
)
def test_anything_else_reads_as_absent(raw: bytes) -> None:
    assert decode_state(raw) is None


def test_a_stored_state_has_at_most_a_mebibyte() -> None:
    spare = MAX_BYTES - len(encode_state(replace(FULL, tails={"ima": bytes(70_000)}))) + 70_000
    largest = replace(FULL, tails={"ima": bytes(spare)})
    assert len(encode_state(largest)) == MAX_BYTES
    assert decode_state(encode_state(largest)) == largest
    assert decode_state(encode_state(replace(FULL, tails={"ima": bytes(spare + 1)}))) is None
