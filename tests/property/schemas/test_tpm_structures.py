"""What holds for all TPM structures: no bytes crash a parser, forms round-trip, composites follow the selection."""

import contextlib
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import limits
from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, SHA256, HashAlgorithm
from schemas.reasons import Reason
from schemas.tpm.attest import Attest, QuoteInfo, parse_attest
from schemas.tpm.pcr import (
    PcrBankSelection,
    PcrSelection,
    PcrValues,
    composite_digest,
    encode_selection,
    parse_selection,
    parse_selection_text,
    selection_end,
    selection_text,
)
from schemas.tpm.public import parse_public, parse_sized_public, qualified_name
from schemas.tpm.signature import parse_signature, verify_signature
from tests.builders.tpm_bytes import (
    REAL_PUBLIC,
    REAL_QUOTE,
    REAL_QUOTE_SIGNATURE,
    REAL_TIME,
    attest_bytes,
    clock_bytes,
    quote_bytes,
    sized,
    time_bytes,
)

KEY = parse_public(REAL_PUBLIC).public_key()


def use_public(raw: bytes) -> None:
    """Parses a public area and makes a key of it."""
    public = parse_public(raw)
    assert len(public.name) == 2 + public.name_alg.size
    public.public_key()


def use_signature(raw: bytes) -> None:
    """Parses a signature and verifies it."""
    verify_signature(KEY, parse_signature(raw), REAL_QUOTE, Reason.QUOTE_SIGNATURE_INVALID)


PARSERS: dict[str, Callable[[bytes], object]] = {
    "attest": parse_attest,
    "public": use_public,
    "qualified-name": lambda raw: qualified_name(0x4000000B, raw),
    "selection": parse_selection,
    "selection-end": lambda raw: selection_end(raw, 0),
    "signature": use_signature,
    "sized-public": parse_sized_public,
}
SAMPLES: dict[str, tuple[bytes, ...]] = {
    "attest": (REAL_QUOTE, REAL_TIME, quote_bytes(), time_bytes()),
    "public": (REAL_PUBLIC,),
    "selection": (REAL_QUOTE[-50:-34],),
    "signature": (REAL_QUOTE_SIGNATURE, b"\x00\x14\x00\x0b" + sized(bytes(256))),
    "sized-public": (sized(REAL_PUBLIC),),
}


@st.composite
def mutations(draw: st.DrawFn, original: bytes) -> bytes:
    """``original`` with some bytes replaced, and a piece taken out or put in."""
    raw = bytearray(original)
    for _ in range(draw(st.integers(0, 4))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    start = draw(st.integers(0, len(raw)))
    raw[start : start + draw(st.sampled_from([0, 0, 1, 2, 8]))] = draw(st.binary(max_size=4))
    return bytes(raw)


banks = st.sampled_from(HASH_ALGORITHMS)


@st.composite
def selections(draw: st.DrawFn) -> PcrSelection:
    """Any valid selection."""
    algorithms = draw(st.lists(banks, unique=True, max_size=len(HASH_ALGORITHMS)))
    indices = st.sets(st.integers(0, limits.MAX_PCR_INDEX)).map(lambda chosen: tuple(sorted(chosen)))
    return PcrSelection(
        banks=tuple(PcrBankSelection(algorithm=algorithm, indices=draw(indices)) for algorithm in algorithms)
    )


@st.composite
def values(draw: st.DrawFn) -> PcrValues:
    """Any valid values, few of them."""

    def registers(algorithm: HashAlgorithm) -> st.SearchStrategy[dict[int, bytes]]:
        digests = st.binary(min_size=algorithm.size, max_size=algorithm.size)
        return st.dictionaries(st.integers(0, limits.MAX_PCR_INDEX), digests, max_size=3)

    return PcrValues({algorithm: draw(registers(algorithm)) for algorithm in draw(st.sets(banks, max_size=3))})


@pytest.mark.parametrize("parser", PARSERS)
@given(data=st.data())
def test_arbitrary_bytes_parse_or_are_the_peers_error(parser: str, data: st.DataObject) -> None:
    raw = data.draw(st.binary(max_size=200) | st.binary(min_size=1000, max_size=3000))
    with contextlib.suppress(PeerError):
        PARSERS[parser](raw)


@pytest.mark.parametrize("parser", SAMPLES)
@given(data=st.data())
def test_mutated_real_bytes_parse_or_are_the_peers_error(parser: str, data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from(SAMPLES[parser]).flatmap(mutations))
    with contextlib.suppress(PeerError):
        PARSERS[parser](raw)


def encode(attest: Attest) -> bytes:
    """The inverse of the parser, for selections of three bytes; written here so that it cannot share its mistakes."""
    clock = attest.clock_info
    outer = clock_bytes(clock.clock, clock.reset_count, clock.restart_count, int(clock.safe))
    if isinstance(attest.attested, QuoteInfo):
        attested = encode_selection(attest.attested.pcr_selection) + sized(attest.attested.pcr_digest)
    else:
        clock = attest.attested.clock_info
        attested = attest.attested.time.to_bytes(8, "big")
        attested += clock_bytes(clock.clock, clock.reset_count, clock.restart_count, int(clock.safe))
        attested += attest.attested.firmware_version.to_bytes(8, "big")
    return attest_bytes(
        attested,
        kind=attest.type,
        signer=attest.qualified_signer,
        extra_data=attest.extra_data,
        clock_info=outer,
        firmware_version=attest.firmware_version,
    )


@given(st.sampled_from(SAMPLES["attest"]).flatmap(mutations))
def test_an_attest_that_parses_is_the_only_reading_of_its_bytes(raw: bytes) -> None:
    try:
        attest = parse_attest(raw)
    except PeerError:
        return
    rebuilt = encode(attest)
    assert parse_attest(rebuilt) == attest
    quote = attest.attested
    if not isinstance(quote, QuoteInfo) or encode_selection(quote.pcr_selection) in raw:  # as it was: 3 bytes a bank
        assert rebuilt == raw


@given(selections())
def test_selections_survive_both_of_their_forms(selection: PcrSelection) -> None:
    raw = encode_selection(selection)
    assert parse_selection(raw) == selection
    assert selection_end(b"x" + raw + b"y", 1) == 1 + len(raw)
    assert parse_selection_text(selection_text(selection)) == selection


@given(st.text(max_size=40) | st.from_regex(r"(sha(1|256|384|512):[0-9,-]{0,9}\+?){1,3}", fullmatch=True))
def test_any_text_is_a_selection_or_the_peers_error(text: str) -> None:
    try:
        selection = parse_selection_text(text)
    except PeerError:
        return
    assert parse_selection_text(selection_text(selection)) == selection


@given(selections(), banks)
def test_the_composite_depends_on_order_of_banks_and_on_selected_values_only(
    selection: PcrSelection, algorithm: HashAlgorithm
) -> None:
    def digest(bank: HashAlgorithm, index: int) -> bytes:
        return bank.digest(f"{bank.name}:{index}".encode())

    everything = PcrValues({bank: {index: digest(bank, index) for index in range(24)} for bank in HASH_ALGORITHMS})
    selected = PcrValues(
        {
            bank.algorithm: {index: digest(bank.algorithm, index) for index in reversed(bank.indices)}
            for bank in reversed(selection.banks)
        }
    )
    joined = b"".join(digest(bank, index) for bank, index in selection)
    expected = hashlib.new(algorithm.name, joined).digest()
    assert composite_digest(selection, everything, algorithm) == expected
    assert composite_digest(selection, selected, algorithm) == expected
    backwards = PcrSelection(banks=selection.banks[::-1])
    same = [bank for bank in selection.banks if bank.indices]
    assert (composite_digest(backwards, everything, algorithm) == expected) == (len(same) < 2)


@given(values(), values())
def test_changes_restore_what_they_were_taken_from(older: PcrValues, newer: PcrValues) -> None:
    merged = older.updated(newer)
    changes = merged.changes_since(older)
    assert older.updated(changes) == merged
    assert all(older.get(bank, index) != digest for bank, index, digest in changes)


@given(values())
def test_values_are_what_their_registers_say(some: PcrValues) -> None:
    rebuilt = PcrValues({bank: dict(some.bank(bank)) for bank in reversed(some.algorithms)})
    assert rebuilt == some
    assert hash(rebuilt) == hash(some)
    assert len(list(some)) == len(some)
    selection = PcrSelection(
        banks=tuple(PcrBankSelection(algorithm=bank, indices=tuple(some.bank(bank))) for bank in some.algorithms)
    )
    composite_digest(selection, some, SHA256)
