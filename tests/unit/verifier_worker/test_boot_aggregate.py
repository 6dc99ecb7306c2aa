"""IMA's first entry, and the first entry of every kernel that kexec started, against the quoted PCRs."""

from dataclasses import replace

import pytest

from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from schemas.replay.log_replay import IMA, Replay, ReplayState
from schemas.tpm.pcr import PcrSelection, PcrValues, initial_value, parse_selection_text
from tests.builders.log_bytes import ima_record
from verifier_worker.core.boot_aggregate import judge_aggregates
from verifier_worker.core.measured import measure
from verifier_worker.core.state import Measured
from verifier_worker.core.trust import References

PCRS = {bank: {index: bank.digest(b"PCR %d" % index) for index in range(10)} for bank in HASH_ALGORITHMS}
ALL = parse_selection_text("sha1:0-10+sha256:0-10+sha384:0-10+sha512:0-10")
NOTHING = References(label="", missing=(), registers={}, files=frozenset())


def aggregate(bank: HashAlgorithm, last: int, pcrs: dict[HashAlgorithm, dict[int, bytes]] = PCRS) -> bytes:
    digest = bank.digest(b"".join(pcrs[bank][index] for index in range(last + 1)))
    return ima_record(b"ima-ng", bank.name.encode() + b":\0" + digest, b"boot_aggregate\0")


def measured(log: bytes, selection: PcrSelection = ALL, references: References = NOTHING) -> tuple[bool, list[str]]:
    """Whether an aggregate differs, and the files that nobody listed."""
    found = judged(log, selection, references)
    return found.aggregate_differs, [path for _, path in found.unexpected]


def judged(log: bytes, selection: PcrSelection = ALL, references: References = NOTHING) -> Measured:
    state = ReplayState(banks=tuple(bank.algorithm for bank in selection.banks))
    whole = Replay(state, {IMA: log}).whole
    found = measure(Measured(), whole.consumed, whole.state, references, selection, {})
    return judge_aggregates(found, whole.state, PcrValues(PCRS), selection)


@pytest.mark.parametrize(
    ("bank", "last"),
    [(SHA1, 7), (SHA256, 9), (SHA384, 9), (SHA512, 9), (SHA256, 7)],
)
def test_the_aggregate_of_any_bank_is_accepted(bank: HashAlgorithm, last: int) -> None:
    assert measured(aggregate(bank, last)) == (False, [])


@pytest.mark.parametrize("bank", HASH_ALGORITHMS)
def test_an_aggregate_of_other_pcrs_contradicts_the_quote(bank: HashAlgorithm) -> None:
    others = {bank: {index: initial_value(bank, index, 0) for index in range(10)}}
    assert measured(aggregate(bank, 7 if bank == SHA1 else 9, others)) == (True, [])


@pytest.mark.parametrize("last", [8, 9])
def test_no_kernel_takes_more_than_eight_pcrs_of_the_sha1_bank(last: int) -> None:
    assert measured(aggregate(SHA1, last)) == (True, [])


def test_a_kernel_started_by_kexec_adds_the_same_aggregate_again() -> None:
    file = ima_record(b"ima-ng", b"sha256:\0" + bytes(32), b"/bin/true\0")
    listed = References(label="", missing=(), registers={}, files=frozenset({bytes(32)}))
    log = aggregate(SHA256, 9) + file + aggregate(SHA256, 9)
    assert measured(log, references=listed) == (False, [])
    other = {SHA256: {**PCRS[SHA256], 4: bytes(32)}}
    assert measured(log + aggregate(SHA256, 9, other), references=listed) == (True, [])


def test_an_aggregate_in_a_custom_template_is_refused() -> None:
    digest = SHA1.digest(b"".join(PCRS[SHA1][index] for index in range(8)))
    with pytest.raises(PeerError):
        measured(ima_record(b"d|n", digest, b"boot_aggregate\0"))


@pytest.mark.parametrize(
    ("log", "selection"),
    [
        (aggregate(SHA1, 7), "sha256:0-10"),
        (aggregate(SHA384, 9), "sha256:0-10"),
        (aggregate(SHA256, 9), "sha256:0-7,10"),
        (aggregate(SHA256, 9), "sha256:10"),
        (aggregate(SHA256, 6), "sha256:0-6,10"),  # no kernel takes fewer than eight
        (ima_record(b"ima-ng", b"sm3:\0" + bytes(32), b"boot_aggregate\0"), "sha256:0-10"),
        (ima_record(b"ima-ng", b"\xff:\0" + bytes(32), b"boot_aggregate\0"), "sha256:0-10"),
    ],
)
def test_where_the_quote_does_not_say_nobody_can_verify_it(log: bytes, selection: str) -> None:
    """``boot-aggregate-unverified``: it contradicts nothing. A kernel started by kexec repeats it."""
    for repeated in (log, log * 2, log * 12):
        found = judged(repeated, parse_selection_text(selection))
        assert (found.aggregate_differs, found.unexpected, found.aggregate_unverified) == (False, (), True)


@pytest.mark.parametrize("quoted", ["sha256:0-10", "sha1:0-10", "sha384:0-10"])
def test_later_entries_of_that_name_are_files_unless_they_repeat_the_first(quoted: str) -> None:
    """``file-unexpected``: a program without a path has its file's name, and its owner chooses the hash."""
    selection = parse_selection_text(quoted)
    (bank,) = (each.algorithm for each in selection.banks)
    script = ima_record(b"ima-ng", b"sha512:\0" + SHA512.digest(b"evil"), b"boot_aggregate\0")
    found = judged(aggregate(bank, 7 if bank == SHA1 else 9) + script, selection)
    assert [path for _, path in found.unexpected] == ["boot_aggregate"]
    assert not found.aggregate_unverified


def test_equal_aggregates_are_one_however_often_the_machine_started_a_kernel() -> None:
    file = ima_record(b"ima-ng", b"sha256:\0" + bytes(32), b"/bin/true\0")
    listed = References(label="", missing=(), registers={}, files=frozenset({bytes(32)}))
    assert measured((aggregate(SHA256, 9) + file) * 12, references=listed) == (False, [])


def test_different_aggregates_are_files_when_there_are_too_many() -> None:
    others = (ima_record(b"ima-ng", b"sha256:\0" + bytes([n]) * 32, b"boot_aggregate\0") for n in range(9))
    assert measured(aggregate(SHA256, 9) + b"".join(others)) == (True, ["boot_aggregate"] * 2)


def test_the_first_eight_pcrs_are_enough_for_an_aggregate_over_them() -> None:
    assert measured(aggregate(SHA256, 7), parse_selection_text("sha256:0-7,10")) == (False, [])


def test_pcrs_that_no_log_extended_are_judged_by_the_values_sent() -> None:
    digest = SHA256.digest(b"".join(PCRS[SHA256][index] for index in range(10)))
    waiting = Measured(aggregates=((b"sha256", digest), (b"sha256", bytes(32))))
    unowned = ReplayState(banks=(SHA256,))
    assert judge_aggregates(waiting, unowned, PcrValues(PCRS), ALL) == Measured(aggregate_differs=True)
    agreeing = replace(waiting, aggregates=waiting.aggregates[:1])
    assert judge_aggregates(agreeing, unowned, PcrValues(PCRS), ALL) == Measured()


def test_a_listed_digest_needs_no_pcrs() -> None:
    digest = SHA256.digest(b"".join(PCRS[SHA256][index] for index in range(10)))
    listed = References(label="", missing=(), registers={}, files=frozenset({digest}))
    assert measured(aggregate(SHA256, 9), parse_selection_text("sha256:10"), listed) == (False, [])
