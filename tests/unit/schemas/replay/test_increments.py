"""Increments joined with what was there before them: nothing twice, nothing skipped, nothing a stranger added."""

import pytest

from schemas.cel.in_cbor import encode_record
from schemas.cel.records import ApplicationContent, application_record
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256, HashAlgorithm
from schemas.identifiers import Ueid
from schemas.messages.evidence import Evidence, EvidenceBody, LogIncrement, PcrBanks, SyncProof
from schemas.reasons import Reason
from schemas.replay import increments as joining
from schemas.replay.increments import (
    MAX_JOINED_BYTES,
    NO_VALUES,
    cut_tails,
    has_more,
    join_increments,
    quoted_values,
)
from schemas.replay.log_replay import Consumed, Replay, Replayed, ReplayState
from schemas.tpm.pcr import PcrBankSelection, PcrSelection, PcrValues
from tests.builders.log_bytes import ima_ng, measured, spec_id_record

TCG2, IMA, APP = "tcg2", "ima", "cel/app"
FRESH = ReplayState(banks=(SHA256,))
FILES = [ima_ng(b"/bin/%d" % number, b"%d" % number) for number in range(6)]
BOOT = [spec_id_record({4: 20, 11: 32}), *(measured(number, b"%d" % number) for number in range(3))]
RECORDS = [
    encode_record(
        application_record(14, ApplicationContent(event_type="app", name=str(number), digest=bytes(32)), (11,), number)
    )
    for number in range(4)
]


def push(
    starts: dict[str, int], increments: dict[str, LogIncrement] | None = None, pcrs: PcrBanks | None = None
) -> Evidence:
    """A push whose body says where each increment starts."""
    body = EvidenceBody(
        ueid=Ueid(bytes(33)), sync=SyncProof(attest=b"", signature=b""), environment=b"", sequence=0, logs=starts
    )
    return Evidence(
        body=body,
        raw_body=b"",
        quote=b"",
        signature=b"",
        unsigned_pcrs=pcrs or {},
        unsigned_increments=increments or {},
    )


def at(**counts: int) -> ReplayState:
    """A replay that has come as far as this in each log."""
    state = Replay(FRESH, {TCG2: b"".join(BOOT[: counts[TCG2]])}).whole.state if TCG2 in counts else FRESH
    names = {TCG2: TCG2, IMA: IMA, "app": APP}
    return ReplayState(
        banks=FRESH.banks,
        next_index={names[name]: count for name, count in counts.items()},
        boot_log_format=state.boot_log_format,
    )


def joined(
    state: ReplayState, name: str, start: int, records: bytes | None, tails: dict[str, bytes] | None = None
) -> tuple[dict[str, bytes], str | None]:
    increments = {name: LogIncrement(records=records, total=99)} if records is not None else {}
    return join_increments(state, tails or {}, push({name: start}, increments))


LOGS = pytest.mark.parametrize(
    ("name", "keyword", "entries"),
    [(IMA, "ima", FILES), (APP, "app", RECORDS), (TCG2, "tcg2", BOOT)],
    ids=[IMA, APP, TCG2],
)


@LOGS
def test_an_increment_from_where_we_are_is_taken_as_it_is(name: str, keyword: str, entries: list[bytes]) -> None:
    assert joined(at(**{keyword: 2}), name, 2, entries[2]) == ({name: entries[2]}, None)
    assert joined(FRESH, name, 0, entries[0]) == ({name: entries[0]}, None)


@LOGS
def test_a_tail_that_is_not_needed_is_not_looked_at(name: str, keyword: str, entries: list[bytes]) -> None:
    wrong = {name: b"\xff" * 40}
    assert joined(at(**{keyword: 1}), name, 1, entries[1], wrong) == ({name: entries[1]}, None)
    assert joined(at(**{keyword: 2}), name, 1, entries[1] + entries[2], wrong) == ({name: entries[2]}, None)


@LOGS
def test_entries_that_we_have_are_not_replayed_again(name: str, keyword: str, entries: list[bytes]) -> None:
    state = at(**{keyword: 2})
    assert joined(state, name, 0, b"".join(entries[:4])) == ({name: b"".join(entries[2:4])}, None)
    assert joined(state, name, 1, b"".join(entries[1:4])) == ({name: b"".join(entries[2:4])}, None)
    assert joined(state, name, 1, entries[1]) == ({}, None)
    assert joined(state, name, 0, entries[0]) == ({}, None)


@LOGS
def test_the_space_before_an_increment_is_filled_from_the_tail(name: str, keyword: str, entries: list[bytes]) -> None:
    state = at(**{keyword: 1})
    tails = {name: b"".join(entries[1:3])}
    assert joined(state, name, 3, entries[3], tails) == ({name: b"".join(entries[1:4])}, None)


@LOGS
def test_a_tail_fills_the_space_and_no_more(name: str, keyword: str, entries: list[bytes]) -> None:
    """What somebody on the way appended to an earlier push makes room for the attester's own entries."""
    state = at(**{keyword: 1})
    tail = entries[1] + entries[3]
    assert joined(state, name, 2, entries[2], {name: tail}) == ({name: entries[1] + entries[2]}, None)
    assert joined(state, name, 1, entries[1], {name: entries[3]}) == ({name: entries[1]}, None)


@LOGS
def test_a_tail_alone_fills_the_space_of_a_push_without_an_increment(
    name: str, keyword: str, entries: list[bytes]
) -> None:
    state, tail = at(**{keyword: 1}), b"".join(entries[1:4])
    assert joined(state, name, 3, None, {name: tail}) == ({name: b"".join(entries[1:3])}, None)
    assert joined(state, name, 1, None, {name: tail}) == ({}, None)
    assert joined(state, name, 0, None, {name: tail}) == ({}, None)
    assert joined(state, name, 3, b"", {name: tail}) == ({name: b"".join(entries[1:3])}, None)


@LOGS
def test_an_increment_that_starts_after_what_we_have_is_named(name: str, keyword: str, entries: list[bytes]) -> None:
    state = at(**{keyword: 1})
    assert joined(state, name, 2, entries[2]) == ({}, name)
    assert joined(state, name, 3, entries[3], {name: entries[1]}) == ({}, name)
    assert joined(state, name, 2, None) == ({}, name)
    assert joined(state, name, 2, entries[2], {name: b""}) == ({}, name)
    assert joined(state, name, 2, entries[2], {"cel/other": entries[1]}) == ({}, name)


def test_a_gap_in_one_log_gives_no_entries_of_any() -> None:
    evidence = push({IMA: 0, APP: 1}, {name: LogIncrement(records=FILES[0], total=9) for name in (IMA, APP)})
    assert join_increments(FRESH, {}, evidence) == ({}, APP)


def test_every_log_is_joined_for_itself() -> None:
    state = at(ima=1, app=1)
    evidence = push(
        {IMA: 2, APP: 0},
        {IMA: LogIncrement(records=FILES[2], total=9), APP: LogIncrement(records=b"".join(RECORDS[:2]), total=9)},
    )
    assert join_increments(state, {IMA: FILES[1], APP: RECORDS[3]}, evidence) == (
        {IMA: FILES[1] + FILES[2], APP: RECORDS[1]},
        None,
    )


def test_a_log_that_the_body_does_not_name_is_not_joined() -> None:
    evidence = push({IMA: 0}, {APP: LogIncrement(records=RECORDS[0], total=1)})
    assert join_increments(FRESH, {APP: RECORDS[0]}, evidence) == ({}, None)


def test_a_boot_log_that_starts_again_is_cut_by_its_own_format() -> None:
    """From entry 0 on the format is in the bytes; a format that we remember would take entry 0 for an event."""
    state = at(tcg2=2)
    assert state.boot_log_format is not None
    assert joined(state, TCG2, 0, b"".join(BOOT)) == ({TCG2: b"".join(BOOT[2:])}, None)
    assert joined(state, TCG2, 1, b"".join(BOOT[1:])) == ({TCG2: b"".join(BOOT[2:])}, None)
    assert joined(state, TCG2, 3, BOOT[3], {TCG2: BOOT[2]}) == ({TCG2: BOOT[2] + BOOT[3]}, None)


@pytest.mark.parametrize(
    ("name", "records"), [(IMA, b"\xff" * 40), (TCG2, b"\xff" * 40), (APP, b"\xff" * 40)], ids=[IMA, TCG2, APP]
)
def test_what_cannot_be_cut_is_malformed(name: str, records: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        joined(at(ima=1, tcg2=1, app=1), name, 0, records)
    assert caught.value.reason is Reason.LOG_MALFORMED


def test_two_messages_of_entries_fit_and_one_byte_more_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_JOINED_BYTES == 512 * 1024
    monkeypatch.setattr(joining, "MAX_JOINED_BYTES", len(FILES[1] + FILES[2]))
    state = at(ima=1)
    assert joined(state, IMA, 2, FILES[2], {IMA: FILES[1]}) == ({IMA: FILES[1] + FILES[2]}, None)
    with pytest.raises(PeerError) as caught:
        joined(state, IMA, 2, FILES[2] + b"\0", {IMA: FILES[1]})
    assert caught.value.reason is Reason.TOO_LARGE
    with pytest.raises(PeerError, match="log ima"):
        joined(state, IMA, 1, FILES[1] + FILES[2] + b"\0")


# ── what a quote left ────────────────────────────────────────────────────────────────────────────────────────────────


def covered(**sizes: int) -> Replayed:
    return Replayed(state=FRESH, consumed={name: Consumed(count=0, size=size) for name, size in sizes.items()})


def test_the_tail_is_what_the_quote_does_not_cover() -> None:
    increments = {IMA: b"abcdef", TCG2: b"xyz"}
    assert cut_tails(increments, covered(ima=2, tcg2=0)) == {IMA: b"cdef", TCG2: b"xyz"}


def test_a_log_that_the_quote_covers_has_no_tail() -> None:
    assert cut_tails({IMA: b"abcdef", TCG2: b"xyz"}, covered(ima=6, tcg2=2)) == {TCG2: b"z"}
    assert cut_tails({IMA: b"a"}, covered(ima=1)) == {}
    assert cut_tails({}, covered()) == {}


def test_a_tail_joins_the_next_increment_again() -> None:
    """Cut and joined, the entries of two pushes are the log."""
    data = b"".join(FILES[:4])
    there = Replay(FRESH, {IMA: b"".join(FILES[:2])}).whole
    tails = cut_tails({IMA: data}, there)
    assert tails == {IMA: b"".join(FILES[2:4])}
    assert joined(there.state, IMA, 4, FILES[4], tails) == ({IMA: b"".join(FILES[2:5])}, None)
    assert joined(there.state, IMA, 3, FILES[3] + FILES[4], tails) == ({IMA: b"".join(FILES[2:5])}, None)


# ── values beside the logs ───────────────────────────────────────────────────────────────────────────────────────────

SELECTION = PcrSelection(
    banks=(PcrBankSelection(algorithm=SHA256, indices=(0, 7)), PcrBankSelection(algorithm=SHA1, indices=(10,)))
)


def test_values_that_the_quote_covers_are_taken() -> None:
    pcrs = {SHA256: {0: b"0" * 32, 7: b"7" * 32}, SHA1: {10: b"1" * 20}}
    assert quoted_values(push({}, pcrs=pcrs), SELECTION) == PcrValues(pcrs)
    assert quoted_values(push({}), SELECTION) == NO_VALUES
    assert len(NO_VALUES) == 0


@pytest.mark.parametrize(("bank", "index"), [(SHA256, 10), (SHA256, 23), (SHA1, 0)])
def test_one_value_that_the_quote_does_not_cover_is_refused(bank: HashAlgorithm, index: int) -> None:
    pcrs = {SHA256: {0: b"0" * 32}, SHA1: {10: b"1" * 20}}
    pcrs[bank] = pcrs[bank] | {index: bytes(bank.size)}
    with pytest.raises(PeerError, match=f"PCR {bank.name}:{index}") as caught:
        quoted_values(push({}, pcrs=pcrs), SELECTION)
    assert caught.value.reason is Reason.PCR_VALUES_MISMATCH


# ── totals ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_push_has_more_where_it_says_so() -> None:
    evidence = push(
        {IMA: 0, APP: 0}, {IMA: LogIncrement(records=b"", total=5), APP: LogIncrement(records=b"", total=3)}
    )
    assert has_more(evidence, {IMA: 5, APP: 2, TCG2: 9})
    assert has_more(evidence, {})
    assert not has_more(evidence, {IMA: 5, APP: 3})
    assert not has_more(push({}), {IMA: 5})
    assert has_more(push({IMA: 0}, {IMA: LogIncrement(records=b"", total=1)}), {})


def test_a_push_does_not_deliver_more_than_there_is() -> None:
    evidence = push({IMA: 0}, {IMA: LogIncrement(records=b"", total=5)})
    with pytest.raises(PeerError, match="log ima: 6 entries of 5") as caught:
        has_more(evidence, {IMA: 6})
    assert caught.value.reason is Reason.MALFORMED
