"""What log entries add to the picture of a boot: owners of PCRs, unexpected files, aggregates, claims."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.boot_log.facts import BootFacts, SecureBoot
from schemas.boot_log.records import BootEvent
from schemas.cel.records import CelRecord, ManagementContent, ManagementEvent, SystemdContent
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256, SHA384, HashAlgorithm
from schemas.ima.records import read_records
from schemas.limits import MAX_UNEXPECTED_LISTED
from schemas.reasons import Reason
from schemas.replay.log_replay import Consumed, ReplayState
from schemas.tpm.pcr import PcrValues, parse_selection_text
from tests.builders.file_signing import file_key, sign_file
from tests.builders.log_bytes import field, ima_legacy, ima_ng, ima_record
from tests.builders.owners import owners_in
from verifier_worker.core.boot_aggregate import judge_aggregates
from verifier_worker.core.measured import boot_log_vouches, measure, verify_claims
from verifier_worker.core.policy.ima_demands import ImaDemands
from verifier_worker.core.state import Measured
from verifier_worker.core.trust import References

SELECTION = parse_selection_text("sha256:0-10,14")
NO_REFERENCES = References(label="", missing=(), registers={}, files=frozenset())
REPLAYED = ReplayState(banks=(SHA256,))


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def ima(*entries: bytes, count: int | None = None) -> Consumed:
    records = read_records(b"".join(entries))
    return Consumed(count=len(entries) if count is None else count, size=0, ima=records)


def add(
    consumed: Consumed,
    *,
    name: str = "ima",
    measured: Measured | None = None,
    state: ReplayState = REPLAYED,
    references: References = NO_REFERENCES,
    explained: Mapping[str, frozenset[int]] | None = None,
    excluded: str | None = None,
) -> Measured:
    demands = ImaDemands(excluded=re.compile(excluded) if excluded is not None else None)
    return measure(
        measured or Measured(label="old"),
        {name: consumed},
        state,
        references,
        SELECTION,
        explained or {},
        demands,
    )


def event(index: int, *digests: tuple[HashAlgorithm, bytes], kind: int = 4, data: bytes = b"x") -> BootEvent:
    listed = tuple((bank.tpm_id, value) for bank, value in digests)
    return BootEvent(pcr_index=index, event_type=kind, digests=listed, data=data)


# -- owners ------------------------------------------------------------------------------------------------------------


def test_a_log_owns_the_pcrs_that_its_entries_extended_in_a_replayed_bank() -> None:
    extended = [event(4, (SHA256, bytes(32))), event(2, (SHA1, bytes(20)), (SHA256, bytes(32)))]
    others = [event(3, (SHA1, bytes(20))), event(5), event(6, (SHA256, bytes(32)), kind=3)]  # EV_NO_ACTION
    consumed = Consumed(count=5, size=0, events=(*extended, *others))
    assert add(consumed, name="tcg2").owners == owners_in({2: ("tcg2",), 4: ("tcg2",)})


def test_cel_entries_own_what_they_extended() -> None:
    sha256 = ((SHA256.tpm_id, bytes(32)),)
    records = (
        CelRecord(recnum=0, pcr=14, digests=sha256, content=SystemdContent()),
        CelRecord(recnum=1, pcr=15, digests=((SHA1.tpm_id, bytes(20)),), content=SystemdContent()),
        CelRecord(recnum=2, nv_index=0x01D10200, digests=sha256, content=SystemdContent()),
        CelRecord(recnum=3, pcr=13, digests=sha256, content=ManagementContent(event=ManagementEvent.FIRMWARE_END)),
    )
    assert add(Consumed(count=4, size=0, cel=records), name="cel/app").owners == owners_in({14: ("cel/app",)})


def test_of_an_ima_list_only_consumed_entries_own() -> None:
    entries = [ima_ng(b"/a", b"a", pcr_index=10), ima_ng(b"/b", b"b", pcr_index=12)]
    assert add(ima(*entries, count=1)).owners == owners_in({10: ("ima",)})
    assert add(ima(*entries)).owners == owners_in({10: ("ima",), 12: ("ima",)})


def test_owners_add_up_in_one_order_and_each_once() -> None:
    before = Measured(owners=owners_in({4: ("ima", "tcg2"), 14: ("ima",)}))
    consumed = Consumed(count=2, size=0, events=(event(4, (SHA256, bytes(32))), event(14, (SHA256, bytes(32)))))
    owners = add(consumed, name="cel/app", measured=before).owners
    assert owners == owners_in({4: ("cel/app", "ima", "tcg2"), 14: ("cel/app", "ima")})
    again = add(consumed, name="cel/app", measured=replace(before, owners=owners)).owners
    assert again == owners
    assert before.owners == owners_in({4: ("ima", "tcg2"), 14: ("ima",)})


def test_events_add_to_the_facts_of_the_boot() -> None:
    separator = event(7, (SHA256, digest(bytes(4))), data=bytes(4))
    boot = add(Consumed(count=1, size=0, events=(separator,)), name="tcg2").boot
    assert boot == BootFacts(secure_boot_ended=True)
    kept = Measured(boot=BootFacts(version="1"))
    assert add(ima(ima_ng(b"/a", b"a")), measured=kept).boot is kept.boot


# -- files -------------------------------------------------------------------------------------------------------------


def listing(*contents: bytes) -> References:
    return replace(NO_REFERENCES, files=frozenset(map(digest, contents)))


def test_a_file_is_expected_by_its_digest_whatever_its_path() -> None:
    assert add(ima(ima_ng(b"/any", b"good")), references=listing(b"good")).unexpected_total == 0
    found = add(ima(ima_ng(b"/usr/good", b"evil")), references=listing(b"good"))
    assert (found.unexpected, found.unexpected_total) == (((digest(b"evil"), "/usr/good"),), 1)


def test_only_consumed_entries_of_quoted_pcrs_are_judged() -> None:
    entries = [ima_ng(b"/a", b"a"), ima_ng(b"/b", b"b", pcr_index=12), ima_ng(b"/c", b"c")]
    found = add(ima(*entries, count=2))
    assert found.unexpected == ((digest(b"a"), "/a"),)


def test_the_first_files_are_recorded_and_all_are_counted() -> None:
    found = add(ima(*(ima_ng(b"/%d" % number, b"%d" % number) for number in range(20))))
    assert found.unexpected == tuple((digest(b"%d" % n), f"/{n}") for n in range(MAX_UNEXPECTED_LISTED))
    assert found.unexpected_total == 20
    more = add(ima(ima_ng(b"/x", b"x")), measured=found)
    assert (more.unexpected, more.unexpected_total) == (found.unexpected, 21)


def test_a_path_is_cut_and_shown_whatever_its_bytes() -> None:
    found = add(ima(ima_ng(b"/\xff" + b"p" * 300, b"x")))
    ((_, path),) = found.unexpected
    assert path == ("/\\xff" + "p" * 300)[:256]


def test_a_written_file_is_a_violation_and_not_a_file() -> None:
    violated = ima_record(b"ima-ng", b"sha256:\0" + bytes(32), b"/log\0", template_hash=bytes(20))
    found = add(ima(violated, violated), measured=Measured(violations=3))
    assert (found.violations, found.unexpected_total) == (5, 0)


@pytest.mark.parametrize("known", [False, True])
def test_an_entry_of_an_unknown_template_is_refused(known: bool) -> None:
    record = ima_record(b"d-ng|n-ng" if known else b"my-own", b"sha256:\0" + digest(b"evil"), b"/a\0")
    with pytest.raises(PeerError) as refused:
        add(ima(record))
    assert refused.value.reason is Reason.LOG_MALFORMED


def test_a_listed_file_in_a_custom_template_is_expected() -> None:
    record = ima_record(b"d-ng|n-ng", b"sha256:\0" + digest(b"good"), b"/a\0")
    assert add(ima(record), references=listing(b"good")).unexpected_total == 0


# -- excluded paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "excluded"),
    [
        (b"/var/cache/a", True),
        (b"/var/cache/deep/a", True),
        (b"/var/cache", False),
        (b"/x/var/cache/a", False),
        (b"/var/cache/../../usr/bin/evil", False),  # a program that may write to the cache must not get out of it
        (b"/var/cache/a/..", True),
    ],
)
def test_excluded_paths_need_no_reference_value_unless_they_lead_out(path: bytes, excluded: bool) -> None:
    found = add(ima(ima_ng(path, b"x")), excluded=r"/var/cache/.*")
    assert (found.excluded, found.unexpected_total) == ((1, 0) if excluded else (0, 1))


def test_excluded_files_add_up() -> None:
    found = add(
        ima(ima_ng(b"/var/a", b"a"), ima_ng(b"/var/b", b"b")), measured=Measured(excluded=3), excluded="/var/.*"
    )
    assert found.excluded == 5


def test_a_listed_file_is_not_counted_as_excluded() -> None:
    assert add(ima(ima_ng(b"/var/a", b"a")), references=listing(b"a"), excluded="/var/.*").excluded == 0


# -- signed files ------------------------------------------------------------------------------------------------------


def test_a_file_that_a_listed_key_signed_is_expected() -> None:
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    trusting = replace(NO_REFERENCES, keys=(file_key(key),))
    fields = (b"sha256:\0" + digest(b"app"), b"/app\0")
    signed = ima_record(b"ima-sig", *fields, sign_file(key, digest(b"app")))
    assert add(ima(signed), references=trusting).unexpected_total == 0
    assert add(ima(signed)).unexpected_total == 1
    forged = ima_record(b"ima-sig", *fields, sign_file(other, digest(b"app")))
    assert add(ima(forged), references=trusting).unexpected_total == 1
    of_another = ima_record(b"ima-sig", *fields, sign_file(key, digest(b"other")))
    assert add(ima(of_another), references=trusting).unexpected_total == 1
    unsigned = ima_record(b"ima-sig", *fields, b"")
    assert add(ima(unsigned), references=trusting).unexpected_total == 1


# -- an entry of another template, called ima --------------------------------------------------------------------------


def called_ima(data: bytes) -> bytes:
    """The 276 bytes that another template hashes, as an entry of template ``ima``."""
    template_hash = hashlib.sha1(data, usedforsecurity=False).digest()
    return bytes([10, 0, 0, 0]) + template_hash + field(b"ima") + data[:20] + field(data[20:].rstrip(b"\0"))


def ng_data(label: bytes, size: int = 276) -> bytes:
    """Template data of ``ima-ng`` of that many bytes."""
    head = field(label + bytes(range(1, 33)))
    return head + field(b"/" + b"p" * (size - len(head) - 6) + b"\0")


@pytest.mark.parametrize("label", [b"sha256:\0", b"verity:sha256:\0"])
def test_an_entry_of_another_template_that_is_called_ima_is_refused(label: bytes) -> None:
    data = ng_data(label)
    assert len(data) == 276
    with pytest.raises(PeerError) as refused:
        add(ima(called_ima(data)))
    assert refused.value.reason is Reason.LOG_MALFORMED
    add(ima(ima_ng(b"/a", b"a"), called_ima(data), count=1))  # beyond the quote: not judged yet


def test_a_true_entry_of_template_ima_is_a_file() -> None:
    found = add(ima(ima_legacy(b"/old", b"old")))
    assert found.unexpected == ((hashlib.sha1(b"old", usedforsecurity=False).digest(), "/old"),)


def forged(size: int, label_at: int) -> bytes:
    """276 bytes that begin with a length, and have the end of a label somewhere."""
    data = bytearray(size.to_bytes(4, "little") + b"\1" * 271 + b"\0")
    data[label_at : label_at + 2] = b":\0"
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (forged(0, 10), True),
        (forged(127, 10), True),
        (forged(128, 10), False),  # no labelled digest is that long
        (forged(128 << 8, 10), False),
        (forged(32, 4), True),
        (forged(32, 22), True),
        (forged(32, 23), False),  # the label would end beyond the digest of an entry of template ima
    ],
)
def test_the_length_of_a_labelled_digest_and_the_end_of_its_label_give_it_away(data: bytes, refused: bool) -> None:
    if refused:
        with pytest.raises(PeerError):
            add(ima(called_ima(data)))
    else:
        assert add(ima(called_ima(data))).unexpected_total == 1


# -- what CEL logs and the boot log measured ---------------------------------------------------------------------------


def test_an_entry_of_a_cel_log_needs_a_reference_value() -> None:
    record = CelRecord(
        recnum=0, pcr=14, digests=((SHA256.tpm_id, digest(b"conf")),), content=SystemdContent(string="conf")
    )
    consumed, explained = Consumed(count=1, size=0, cel=(record,)), {"cel/app": frozenset({14})}
    found = add(consumed, name="cel/app", explained=explained)
    assert found.unexpected == ((digest(b"conf"), "conf (cel/app)"),)
    assert add(consumed, name="cel/app", explained=explained, references=listing(b"conf")).unexpected_total == 0
    assert add(consumed, name="cel/app").unexpected_total == 0


# -- boot aggregates ---------------------------------------------------------------------------------------------------

PCRS = {index: bytes([index + 1]) * 32 for index in range(10)}
SHA1_PCRS = {index: bytes([index + 1]) * 20 for index in range(10)}


def aggregate(label: bytes, value: bytes) -> bytes:
    return ima_record(b"ima-ng", label + b":\0" + value, b"boot_aggregate\0")


def of(count: int, bank: HashAlgorithm = SHA256, pcrs: Mapping[int, bytes] = PCRS) -> bytes:
    return bank.digest(b"".join(pcrs[index] for index in range(count)))


def judged(
    label: bytes,
    value: bytes,
    *,
    registers: Mapping[HashAlgorithm, Mapping[int, bytes]] | None = None,
    unlogged: PcrValues | None = None,
    quoted: str = "sha256:0-10",
    locality: int = 0,
) -> Measured:
    registers = {SHA256: PCRS} if registers is None else registers
    state = ReplayState(banks=tuple(registers), registers=registers, startup_locality=locality)
    waiting = Measured(aggregates=((label, value),))
    return judge_aggregates(waiting, state, unlogged or PcrValues({}), parse_selection_text(quoted))


AGREES = Measured()
DIFFERS = Measured(aggregate_differs=True)


def unlisted(value: bytes) -> Measured:
    return Measured(unexpected=((value, "boot_aggregate"),), unexpected_total=1)


def test_an_aggregate_waits_for_a_quote_and_a_listed_one_does_not() -> None:
    record = aggregate(b"sha256", of(10))
    waiting = add(ima(record))
    assert (waiting.aggregates, waiting.unexpected_total) == (((b"sha256", of(10)),), 0)
    assert add(ima(record), references=replace(NO_REFERENCES, files=frozenset({of(10)}))).aggregates == ()


def test_of_aggregates_eight_wait_and_further_ones_are_files() -> None:
    found = add(ima(*(aggregate(b"sha256", bytes([number]) * 32) for number in range(1, 11))))
    assert [value[0] for _, value in found.aggregates] == list(range(1, 9))
    assert [value[0] for value, _ in found.unexpected] == [9, 10]


def test_an_aggregate_is_over_ten_pcrs_or_eight() -> None:
    assert judged(b"sha256", of(10)) == AGREES
    assert judged(b"sha256", of(8)) == AGREES
    assert judged(b"ima:sha256", of(10)) == AGREES
    for other in (of(9), of(7), bytes(32)):
        assert judged(b"sha256", other) == DIFFERS


def test_in_the_sha1_bank_it_is_over_eight() -> None:
    registers = {SHA1: SHA1_PCRS}
    assert judged(b"sha1", of(8, SHA1, SHA1_PCRS), registers=registers, quoted="sha1:0-10") == AGREES
    assert judged(b"sha1", of(10, SHA1, SHA1_PCRS), registers=registers, quoted="sha1:0-10") == DIFFERS
    assert judged(b"sha1", of(8, SHA1, SHA1_PCRS), registers=registers, quoted="sha1:0-7") == AGREES


@pytest.mark.parametrize(
    ("label", "quoted"),
    [(b"sha512x", "sha256:0-10"), (b"sha384", "sha256:0-10"), (b"sha256", "sha256:0-6"), (b"", "sha256:0-10")],
)
def test_where_the_quote_does_not_say_what_the_pcrs_were_it_is_a_file(label: bytes, quoted: str) -> None:
    assert judged(label, of(10), quoted=quoted) == unlisted(of(10))


def test_where_the_quote_covers_only_the_first_eight_only_these_can_agree() -> None:
    assert judged(b"sha256", of(8), quoted="sha256:0-7") == AGREES
    assert judged(b"sha256", of(10), quoted="sha256:0-7") == unlisted(of(10))
    assert judged(b"sha256", of(9), quoted="sha256:0-8") == AGREES
    assert judged(b"sha256", of(10), quoted="sha256:0-7,9") == unlisted(of(10))


def test_values_are_replayed_else_sent_else_those_that_pcrs_start_with() -> None:
    registers = {SHA256: {index: PCRS[index] for index in range(1, 8)}}
    unlogged = PcrValues({SHA256: {5: bytes(32), 8: b"\x88" * 32}})
    values = {**PCRS, 0: bytes(31) + b"\3", 8: b"\x88" * 32, 9: bytes(32)}
    found = judged(b"sha256", of(10, SHA256, values), registers=registers, unlogged=unlogged, locality=3)
    assert found == AGREES
    assert judged(b"sha256", of(10, SHA256, values), registers=registers, unlogged=unlogged) == DIFFERS


def test_every_waiting_aggregate_is_judged_once() -> None:
    state = ReplayState(banks=(SHA256,), registers={SHA256: PCRS})
    waiting = Measured(aggregates=((b"sha256", bytes(32)), (b"sha256", of(10)), (b"none", b"\1")), unexpected_total=2)
    found = judge_aggregates(waiting, state, PcrValues({}), parse_selection_text("sha256:0-10"))
    assert found == Measured(
        aggregate_differs=True, unexpected=((b"\1", "boot_aggregate"),), unexpected_total=3, aggregates=()
    )


# -- claims ------------------------------------------------------------------------------------------------------------

BOOT = BootFacts(
    version="1.2",
    images=(b"\x0a" * 48, b"\x0b" * 48),
    images_total=5,
    secure_boot_value=SecureBoot.ENABLED,
    secure_boot_ended=True,
)
BOOT_OWNERS: dict[int, tuple[str, ...]] = dict.fromkeys((0, 4, 7), ("tcg2",))
ALL_CLAIMS = {
    "firmware-version": "1.2",
    "secure-boot": "enabled",
    "boot-images": f"sha384:{'0a' * 48},sha384:{'0b' * 48}",
    "boot-images-total": 5,
}
TWO_BANKS = "sha256:0-10+sha384:0-10"


def claims(boot: BootFacts = BOOT, owners: dict[int, tuple[str, ...]] | None = None, quoted: str = TWO_BANKS) -> object:
    owned = owners_in(BOOT_OWNERS if owners is None else owners, SHA256, SHA384)
    measured = Measured(boot=boot, owners=owned)
    return verify_claims(measured, (SHA256, SHA384), parse_selection_text(quoted))


def test_quoted_pcrs_vouch_for_what_the_boot_log_alone_extended() -> None:
    assert claims() == ALL_CLAIMS


@pytest.mark.parametrize(
    ("index", "lost"),
    [(0, {"firmware-version"}), (7, {"secure-boot"}), (4, {"boot-images", "boot-images-total"})],
)
def test_a_pcr_that_another_log_extended_or_a_quote_lacks_vouches_for_nothing(index: int, lost: set[str]) -> None:
    left = {name: value for name, value in ALL_CLAIMS.items() if name not in lost}
    assert claims(owners={**BOOT_OWNERS, index: ("ima", "tcg2")}) == left
    assert claims(owners={other: names for other, names in BOOT_OWNERS.items() if other != index}) == left
    rest = ",".join(str(other) for other in range(11) if other != index)
    assert claims(quoted=f"sha256:0-10+sha384:{rest}") == left
    assert claims(quoted=f"sha256:{rest}+sha384:0-10") == left


@pytest.mark.parametrize("bank", [SHA256, SHA384])
def test_a_pcr_that_another_log_extended_in_one_bank_vouches_for_nothing_in_any(bank: HashAlgorithm) -> None:
    owners = {**owners_in(BOOT_OWNERS, SHA256, SHA384), (bank.tpm_id, 7): ("cel/app", "tcg2")}
    selection = parse_selection_text(TWO_BANKS)
    measured = Measured(boot=BOOT, owners=owners)
    assert not boot_log_vouches(measured, (SHA256, SHA384), selection, 7)
    assert boot_log_vouches(measured, (SHA256, SHA384), selection, 4)


def test_what_the_boot_log_does_not_say_is_not_claimed() -> None:
    assert claims(BootFacts()) == {}
    unknown = replace(BOOT, version=None, images_unknown=True, secure_boot_broken=True)
    assert claims(unknown) == {}
    assert claims(replace(BOOT, version="")) == {
        name: value for name, value in ALL_CLAIMS.items() if "version" not in name
    }
