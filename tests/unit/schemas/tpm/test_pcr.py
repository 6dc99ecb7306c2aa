"""PCR selections, values, composites and extension, against bytes written down by hand and from a real TPM."""

import hashlib
from dataclasses import replace

import pytest

from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from schemas.reasons import Reason
from schemas.tpm.pcr import (
    STARTUP_LOCALITIES,
    PcrBankSelection,
    PcrSelection,
    PcrValues,
    composite_digest,
    encode_selection,
    extend,
    initial_value,
    parse_selection,
    parse_selection_text,
    selection_end,
    selection_text,
)
from tests.builders.tpm_bytes import selection_bytes


def selection(*banks: tuple[HashAlgorithm, tuple[int, ...]]) -> PcrSelection:
    return PcrSelection(banks=tuple(PcrBankSelection(algorithm=bank, indices=indices) for bank, indices in banks))


def test_a_selection_is_read_bit_by_bit_least_significant_first() -> None:
    raw = selection_bytes((0x000B, b"\x83\x00\x02"), (0x0004, b"\x00\x04\x00"))
    assert parse_selection(raw) == selection((SHA256, (0, 1, 7, 17)), (SHA1, (10,)))


def test_encoding_gives_back_the_bytes() -> None:
    raw = selection_bytes((0x000D, b"\x00\x00\x80"), (0x000C, b"\x01\x00\x00"))
    assert encode_selection(parse_selection(raw)) == raw


@pytest.mark.parametrize("bits", [b"", b"\x01", b"\x01\x00", b"\x01\x00\x00", b"\x01\x00\x00\x00"])
def test_a_bank_may_have_up_to_four_bytes_of_bits(bits: bytes) -> None:
    parsed = parse_selection(selection_bytes((0x000B, bits)))
    assert parsed == selection((SHA256, (0,) if bits else ()))


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"", "count"),
        (b"\x00\x00\x00", "count"),
        (b"\x00\x00\x00\x01", "hash"),
        (b"\x00\x00\x00\x01\x00\x0b", "bits"),
        (b"\x00\x00\x00\x01\x00\x0b\x03\x00\x00", "bits"),
        (b"\x00\x00\x00\x09" + bytes(27), "9 banks"),
        (selection_bytes((0x000B, bytes(5))), "5 bytes"),
        (selection_bytes((0x0012, bytes(3))), "unknown bank 0x0012"),
        (selection_bytes((0x000B, bytes(3)), (0x000B, b"\x01\x00\x00")), "same bank twice"),
        (selection_bytes((0x000B, b"\x00\x00\x00\x01")), "pcr 24"),
        (selection_bytes((0x000B, bytes(3))) + b"\x00", "after its end"),
    ],
)
def test_a_selection_that_is_wrong_is_refused_by_name(raw: bytes, field: str) -> None:
    with pytest.raises(PeerError, match=field) as caught:
        parse_selection(raw)
    assert caught.value.reason is Reason.MALFORMED


def test_the_end_of_a_selection_is_found_inside_a_larger_structure() -> None:
    raw = selection_bytes((0x000B, bytes(3)), (0x0004, bytes(4)))
    assert selection_end(b"before" + raw + b"after", 6) == 6 + len(raw)


@pytest.mark.parametrize(
    ("cut", "where"),
    [(cut, "count" if cut < 4 else "last bank" if cut >= 13 else "bank at") for cut in range(17)],
)
def test_the_end_of_a_selection_is_never_beyond_the_bytes(cut: int, where: str) -> None:
    raw = selection_bytes((0x000B, bytes(3)), (0x0004, bytes(4)))
    assert len(raw) == 17
    with pytest.raises(PeerError) as caught:
        selection_end(raw[:cut], 0)
    assert caught.value.reason is Reason.MALFORMED
    assert where in caught.value.detail


@pytest.mark.parametrize(
    "raw",
    [
        selection_bytes(),
        selection_bytes((0x000B, b"")),
        selection_bytes((0x000B, bytes(3))),
        selection_bytes(*[(0x000B, b"")] * 8),
    ],
    ids=["no bank", "no bits", "one bank", "eight banks"],
)
def test_a_selection_may_end_with_the_bytes(raw: bytes) -> None:
    assert selection_end(raw, 0) == len(raw)
    assert selection_end(b"xy" + raw, 2) == 2 + len(raw)


@pytest.mark.parametrize("count", [9, 2**32 - 1])
def test_the_end_of_a_selection_with_too_many_banks_is_not_looked_for(count: int) -> None:
    with pytest.raises(PeerError, match=f"{count} banks") as caught:
        selection_end(count.to_bytes(4, "big") + bytes(100), 0)
    assert caught.value.reason is Reason.MALFORMED


def test_eight_banks_are_read_one_by_one() -> None:
    """There is no algorithm for a fifth one: it is that which is refused, not the number."""
    with pytest.raises(PeerError, match="unknown bank 0x0010"):
        parse_selection(selection_bytes(*[(0x0010, b"")] * 8))


def test_indices_of_a_bank_ascend() -> None:
    for indices in ((1, 1), (2, 1), (0, 5, 5), (0, 5, 4)):
        with pytest.raises(PeerError, match="ascend") as caught:
            PcrBankSelection(algorithm=SHA256, indices=indices)
        assert caught.value.reason is Reason.MALFORMED
    assert PcrBankSelection(algorithm=SHA256, indices=(0, 23)).indices == (0, 23)
    for index in (-1, 24):
        with pytest.raises(PeerError, match=f"pcr {index}"):
            PcrBankSelection(algorithm=SHA256, indices=(index,))


def test_a_selection_holds_at_most_eight_banks() -> None:
    banks = tuple(
        PcrBankSelection(algorithm=replace(SHA256, tpm_id=number), indices=()) for number in range(0x100, 0x109)
    )
    assert len(PcrSelection(banks=banks[:8]).banks) == 8
    with pytest.raises(PeerError, match="9 banks") as caught:
        PcrSelection(banks=banks)
    assert caught.value.reason is Reason.MALFORMED


def test_a_selection_holds_no_bank_twice() -> None:
    one, other = (PcrBankSelection(algorithm=bank, indices=()) for bank in (SHA1, SHA256))
    with pytest.raises(PeerError, match="same bank twice") as caught:
        PcrSelection(banks=(one, other, one))
    assert caught.value.reason is Reason.MALFORMED


def test_the_startup_localities_are_those_of_the_pc_client_profile() -> None:
    assert STARTUP_LOCALITIES == (0, 3, 4)


def test_the_length_of_the_textual_form_is_checked_before_its_content() -> None:
    for length, why in ((4096, "unknown bank"), (4097, "4097 characters")):
        with pytest.raises(PeerError, match=why) as caught:
            parse_selection_text("x" * length)
        assert caught.value.reason is Reason.MALFORMED


def test_a_selection_lists_its_registers_in_digest_order() -> None:
    chosen = selection((SHA256, (1, 5)), (SHA1, (0,)))
    assert list(chosen) == [(SHA256, 1), (SHA256, 5), (SHA1, 0)]
    assert (SHA256, 5) in chosen
    assert (SHA1, 5) not in chosen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sha256:0,1,2-7+sha1:10", selection((SHA256, (0, 1, 2, 3, 4, 5, 6, 7)), (SHA1, (10,)))),
        ("sha1:23", selection((SHA1, (23,)))),
        ("sha512:7,0", selection((SHA512, (0, 7)))),
        ("sha384:3-3", selection((SHA384, (3,)))),
        ("sha1:none+sha256:0", selection((SHA1, ()), (SHA256, (0,)))),
        ("none", selection()),
    ],
)
def test_the_textual_form_is_understood(text: str, expected: PcrSelection) -> None:
    assert parse_selection_text(text) == expected
    assert parse_selection_text(selection_text(expected)) == expected


def test_the_textual_form_has_no_ranges_so_tpm2_tools_reads_it() -> None:
    assert selection_text(parse_selection_text("sha256:0-3,7+sha1:10")) == "sha256:0,1,2,3,7+sha1:10"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "md5:1",
        "SHA256:1",
        "sha256:1,",
        "sha256: 1",
        "sha256:24",
        "sha256:99",
        "sha256:100",
        "sha256:-1",
        "sha256:1--2",
        "sha256:7-2",
        "sha256:1,1",
        "sha256:1,0-3",
        "sha256:0+sha256:1",
        "sha256:0+",
        "sha256:\u0661",
        "sha256:0\n",
        "sha256:" + "0," * 100,
        "sha256:0:1",
        "x" * 5000,
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(PeerError) as caught:
        parse_selection_text(text)
    assert caught.value.reason is Reason.MALFORMED
    assert len(caught.value.detail) < 200


def test_all_that_follows_the_first_colon_is_a_list_of_indices() -> None:
    with pytest.raises(PeerError, match="'0:1' is neither an index nor a range"):
        parse_selection_text("sha256:0:1")


def test_a_register_that_is_selected_twice_is_named_as_such() -> None:
    for text in ("sha256:1,1", "sha256:1,0-3", "sha256:0-3,3-5"):
        with pytest.raises(PeerError, match="selects a PCR twice"):
            parse_selection_text(text)


def test_values_are_checked_where_they_enter() -> None:
    for size in (31, 33, 20):
        with pytest.raises(PeerError, match=f"{size} bytes, expected 32") as caught:
            PcrValues({SHA256: {0: bytes(size)}})
        assert caught.value.reason is Reason.MALFORMED
    with pytest.raises(PeerError, match="pcr 24"):
        PcrValues({SHA256: {24: bytes(32)}})
    with pytest.raises(PeerError, match="pcr -1"):
        PcrValues({SHA256: {-1: bytes(32)}})


def test_values_do_not_follow_what_they_were_made_from() -> None:
    source = {0: bytes(32)}
    values = PcrValues({SHA256: source})
    source[0] = b"\xff" * 32
    assert values.get(SHA256, 0) == bytes(32)


def test_values_of_a_bank_cannot_be_written() -> None:
    with pytest.raises(TypeError):
        PcrValues({SHA256: {0: bytes(32)}}).bank(SHA256)[0] = bytes(32)  # type: ignore[index]


def test_values_iterate_by_bank_number_and_index_whatever_the_order_they_came_in() -> None:
    values = PcrValues({SHA256: {7: bytes(32), 0: b"\x01" * 32}, SHA1: {3: bytes(20)}, SHA384: {}})
    assert list(values) == [(SHA1, 3, bytes(20)), (SHA256, 0, b"\x01" * 32), (SHA256, 7, bytes(32))]
    assert len(values) == 3
    assert values.algorithms == (SHA1, SHA256)
    assert values.bank(SHA384) == {}
    assert values.get(SHA512, 0) is None
    assert values.get(SHA256, 1) is None


def test_equal_values_are_equal_and_hash_alike() -> None:
    one = PcrValues({SHA256: {0: bytes(32)}, SHA1: {}})
    other = PcrValues({SHA256: {0: bytes(32)}})
    assert one == other
    assert hash(one) == hash(other)
    assert len({hash(PcrValues({SHA256: {index: bytes(32)}})) for index in range(24)}) > 1
    assert one != PcrValues({SHA256: {1: bytes(32)}})
    assert one != {SHA256: {0: bytes(32)}}
    assert repr(other) == f"PcrValues(sha256:0={'00' * 32})"


def test_changes_over_older_values_restore_the_newer_ones() -> None:
    older = PcrValues({SHA256: {0: bytes(32), 1: bytes(32)}})
    newer = PcrValues({SHA256: {0: bytes(32), 1: b"\x01" * 32}, SHA1: {10: bytes(20)}})
    changes = newer.changes_since(older)
    assert list(changes) == [(SHA1, 10, bytes(20)), (SHA256, 1, b"\x01" * 32)]
    assert older.updated(changes) == newer
    assert older.updated(PcrValues({SHA1: {10: bytes(20)}})).algorithms == (SHA1, SHA256)
    assert older.updated(PcrValues({})) == older
    assert len(newer.changes_since(newer)) == 0


def test_the_composite_is_the_hash_of_the_digests_in_the_order_of_the_selection() -> None:
    values = PcrValues({SHA256: {0: b"a" * 32, 7: b"b" * 32, 9: b"no" * 16}, SHA1: {10: b"c" * 20}})
    forward = composite_digest(selection((SHA256, (0, 7)), (SHA1, (10,))), values, SHA256)
    assert forward == hashlib.sha256(b"a" * 32 + b"b" * 32 + b"c" * 20).digest()
    backward = composite_digest(selection((SHA1, (10,)), (SHA256, (0, 7))), values, SHA384)
    assert backward == hashlib.sha384(b"c" * 20 + b"a" * 32 + b"b" * 32).digest()


def test_a_composite_of_a_register_without_a_value_names_it() -> None:
    with pytest.raises(PeerError, match="sha1:10") as caught:
        composite_digest(selection((SHA256, (0,)), (SHA1, (10,))), PcrValues({SHA256: {0: bytes(32)}}), SHA256)
    assert caught.value.reason is Reason.PCR_VALUES_MISMATCH


@pytest.mark.parametrize("algorithm", HASH_ALGORITHMS, ids=lambda algorithm: algorithm.name)
def test_extending_hashes_the_old_value_and_the_digest(algorithm: HashAlgorithm) -> None:
    old, digest = b"\x01" * algorithm.size, b"\x02" * algorithm.size
    assert extend(algorithm, old, digest) == hashlib.new(algorithm.name, old + digest).digest()
    assert len(extend(algorithm, old, digest)) == algorithm.size


def test_initial_values_are_those_of_the_pc_client_profile() -> None:
    ones = [index for index in range(24) if initial_value(SHA256, index) == b"\xff" * 32]
    zeros = [index for index in range(24) if initial_value(SHA256, index) == bytes(32)]
    assert ones == list(range(17, 23))
    assert zeros == [*range(17), 23]


@pytest.mark.parametrize("locality", [3, 4])
def test_the_startup_locality_is_the_last_byte_of_pcr_0_and_of_no_other(locality: int) -> None:
    assert initial_value(SHA1, 0, locality) == bytes(19) + bytes([locality])
    assert initial_value(SHA1, 1, locality) == bytes(20)
    assert initial_value(SHA1, 17, locality) == b"\xff" * 20


@pytest.mark.parametrize(("index", "locality"), [(24, 0), (-1, 0), (0, 1), (0, 2), (0, 5), (0, -1)])
def test_other_registers_and_localities_do_not_exist(index: int, locality: int) -> None:
    with pytest.raises(PeerError) as caught:
        initial_value(SHA256, index, locality)
    assert caught.value.reason is Reason.MALFORMED
