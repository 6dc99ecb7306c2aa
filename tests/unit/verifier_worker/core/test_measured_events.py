"""Which entries of CEL logs and boot logs need a reference value, by which digest, and under what name."""

from dataclasses import replace

import pytest

from schemas.boot_log.records import EV_NO_ACTION, BootEvent
from schemas.cel.records import ApplicationContent, CelRecord, ManagementContent, ManagementEvent, SystemdContent
from schemas.hashes import SHA1, SHA256, SHA384, HashAlgorithm
from schemas.replay.log_replay import Consumed
from verifier_worker.core.measured_events import events_to_judge, may_name_an_event

TEXT = "enter-initrd"
BOUND = tuple((bank.tpm_id, bank.digest(TEXT.encode())) for bank in (SHA1, SHA256, SHA384))
RECORD = CelRecord(recnum=7, pcr=14, digests=BOUND, content=SystemdContent(event_type="phase", string=TEXT))
EVENT = BootEvent(pcr_index=14, event_type=0x80000003, digests=BOUND, data=b"")
APP = {"cel/app": frozenset({14})}


def judged(
    *entries: CelRecord | BootEvent,
    name: str = "cel/app",
    quoted: tuple[tuple[HashAlgorithm, int], ...] = ((SHA256, 14),),
    explained: dict[str, frozenset[int]] | None = None,
) -> list[tuple[tuple[bytes, ...], str]]:
    consumed = Consumed(
        count=len(entries),
        size=0,
        events=tuple(each for each in entries if isinstance(each, BootEvent)),
        cel=tuple(each for each in entries if isinstance(each, CelRecord)),
    )
    return list(events_to_judge(name, consumed, frozenset(quoted), APP if explained is None else explained))


def digest_in(bank: HashAlgorithm) -> tuple[bytes, ...]:
    return (dict(BOUND)[bank.tpm_id],)


def test_an_entry_of_a_pcr_that_the_policy_gives_to_its_log_is_judged() -> None:
    assert judged(RECORD) == [(digest_in(SHA256), f"{TEXT} (cel/app)")]
    assert judged(RECORD, name="cel/other") == []
    assert judged(RECORD, explained={}) == []
    assert judged(replace(RECORD, pcr=15)) == []
    assert judged(RECORD, explained={"cel/app": frozenset({15})}) == []


def test_entries_that_extended_nothing_are_passed_over() -> None:
    management = ManagementContent(event=ManagementEvent.FIRMWARE_END)
    nothing = CelRecord(recnum=0, pcr=14, digests=BOUND, content=management)
    assert judged(nothing, RECORD) == judged(RECORD)


@pytest.mark.parametrize(
    ("quoted", "bank"),
    [
        (((SHA256, 14),), SHA256),
        (((SHA1, 14),), SHA1),
        (((SHA1, 14), (SHA256, 14)), SHA256),
        (((SHA384, 14), (SHA256, 14)), SHA384),
        (((SHA256, 14), (SHA384, 13)), SHA256),  # another PCR of that bank
    ],
)
def test_the_digest_in_the_strongest_quoted_bank_counts(
    quoted: tuple[tuple[HashAlgorithm, int], ...], bank: HashAlgorithm
) -> None:
    assert judged(RECORD, quoted=quoted)[0][0] == digest_in(bank)
    assert judged(EVENT, name="tcg2", quoted=quoted)[0][0] == digest_in(bank)


def test_an_entry_that_hides_from_the_strongest_bank_has_no_good_digest() -> None:
    weaker = replace(RECORD, digests=BOUND[:1])
    both = ((SHA1, 14), (SHA256, 14))
    assert judged(weaker, quoted=both) == [((b"",), f"{TEXT} (cel/app)")]
    assert judged(replace(EVENT, digests=BOUND[:1]), name="tcg2", quoted=both)[0][0] == (b"",)


def test_what_no_quoted_bank_was_extended_with_is_passed_over() -> None:
    for quoted in ((), ((SHA384, 13),)):
        assert judged(RECORD, quoted=quoted) == []
        assert judged(EVENT, name="tcg2", quoted=quoted) == []
    assert judged(replace(RECORD, digests=BOUND[:1])) == []


# -- the boot log ------------------------------------------------------------------------------------------------------


def test_of_the_boot_log_events_of_pcrs_that_cel_logs_have_are_judged() -> None:
    assert judged(EVENT, name="tcg2") == [(digest_in(SHA256), "event 0x80000003 of PCR 14 (tcg2)")]
    assert judged(EVENT, name="ima") == []
    assert judged(EVENT) == []
    assert judged(replace(EVENT, pcr_index=13), name="tcg2") == []
    assert judged(replace(EVENT, event_type=EV_NO_ACTION), name="tcg2") == []


def test_pcrs_of_other_logs_are_not_judged_by_event() -> None:
    assert judged(EVENT, name="tcg2", explained={"tcg2": frozenset({14}), "ima": frozenset({14})}) == []
    assert judged(EVENT, name="tcg2", explained={}) == []
    several = {"cel/app": frozenset({13}), "cel/other": frozenset({14})}
    assert len(judged(EVENT, name="tcg2", explained=several)) == 1


# -- names and files ---------------------------------------------------------------------------------------------------


def application(name: str) -> CelRecord:
    content = ApplicationContent(event_type="app.config", name=name, digest=SHA256.digest(b"content"))
    bare = CelRecord(recnum=7, pcr=14, digests=(), content=content)
    return replace(bare, digests=tuple((bank.tpm_id, bank.digest(content.encode())) for bank in (SHA256,)))


def test_an_application_is_judged_by_the_digest_of_the_file_it_measured() -> None:
    ((digests, _),) = judged(application("/etc/app.conf"))
    assert digests == (SHA256.digest(b"content"),)


def test_an_entry_is_named_by_its_content_only_where_the_pcr_binds_it() -> None:
    assert judged(application("/etc/app.conf"))[0][1] == "/etc/app.conf (app.config, cel/app)"
    unbound = replace(application("/etc/app.conf"), digests=((SHA256.tpm_id, bytes(32)),))
    assert judged(unbound)[0][1] == "entry 7 of PCR 14 (cel/app)"
    nameless = replace(RECORD, content=SystemdContent(event_type="phase", string=None))
    assert judged(nameless)[0][1] == "entry 7 of PCR 14 (cel/app)"


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("/etc/app.conf (app.config, cel/app)", True),
        ("enter-initrd (cel/app)", True),
        ("entry 7 of PCR 14 (cel/app)", True),
        ("event 0x80000003 of PCR 14 (tcg2)", True),
        ("/usr/bin/true", False),
        ("/tmp/tcg2)", False),
        ("/tmp/xcel/app)", False),
        ("/tmp/x (cel/app).old", False),
        ("/tmp/x (cel/app)\n", False),
        ("/tmp/x (ima)", False),
        ("/" + "x" * 254, False),
        ("/" + "x" * 255, True),  # cut short, and with it what it ends with
    ],
)
def test_a_name_that_ends_with_its_log_may_be_of_an_event(text: str, may: bool) -> None:
    assert may_name_an_event(text) is may
