"""What we sign is CoRIM as published: the draft's own grammar takes it, and its rules beyond the grammar hold.

``published_corim.cddl`` says what the draft says, in our words: our own ``schemas/cddl/corim.cddl`` is narrower. zcbor
does not look into a byte string with ``.cbor`` that is tagged: the CoMIDs are taken out and held to their own rules.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.codecs import cbor, cose
from schemas.hashes import SHA256, SHA384
from schemas.messages.reference_values import Outgoing, ReferenceValues, sign_reference_values
from tests.builders.cddl import KEY, Invalid, conforms, endorsement, load, reference_values, rule, rules_of
from tests.builders.file_signing import file_key

PUBLISHED = Path(__file__).with_name("published_corim.cddl")
RULES = rules_of(PUBLISHED.read_text(encoding="utf-8"))
RULE, COMID = RULES["signed-corim"], RULES["comid"]


def with_alternatives() -> bytes:
    """A set with several values of everything, in two banks, and outgoing ones."""
    many = frozenset({bytes(32), b"\x01" * 32, b"\x02" * 32})
    outgoing = Outgoing(until_s=7, registers={SHA256: {7: many}}, files={b"\x07" * 32: "/usr/bin/true"})
    values = ReferenceValues(
        name="golden",
        version=3,
        signer="tests",
        not_before_s=1,
        not_after_s=9,
        registers={SHA256: {0: many, 7: frozenset({bytes(32)})}, SHA384: {0: frozenset({bytes(48)})}},
        files={b"\xaa" * 32: "/usr/bin/true", b"\xab" * 32: "/usr/bin/true", b"\xac" * 64: "/usr/bin/false"},
        keys=(file_key(KEY),),
        outgoing=outgoing,
    )
    return sign_reference_values(values, KEY)


# name: the rule of ours, those of its CoMIDs, what makes one
SIGNED = {
    "endorsement": ("endorsement", ("endorsement-comid",), endorsement),
    "reference values": ("reference-values", ("reference-comid",), reference_values),
    "with alternatives": ("reference-values", ("reference-comid", "outgoing-comid"), with_alternatives),
}


def comids_of(raw: bytes) -> list[Any]:
    """The CoMIDs of a signed CoRIM, decoded."""
    payload = load(cose.parse(raw, "test").unverified_payload)
    assert isinstance(payload, cbor.Tag)
    return [load(tag.value) for tag in payload.value[1]]


@pytest.mark.parametrize("name", SIGNED)
def test_the_published_grammar_takes_what_we_sign(name: str) -> None:
    ours, rules, make = SIGNED[name]
    raw = make()
    RULE.validate_obj(load(raw))
    assert conforms("corim.cddl", ours, raw)
    for comid, its_rule in zip(comids_of(raw), rules, strict=True):
        COMID.validate_obj(comid)
        rule("corim.cddl", its_rule).validate_obj(comid)


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize(
    "change",
    [
        {1: 5},
        {1: {0: 5, 1: 1}},
        {4: {}},
        {4: {0: []}},
        {4: {3: []}},
        {4: {0: [[{0: {2: "x"}}, []]]}},
        {4: {0: [[{0: {2: "x"}}, [{0: "registers", 1: {14: {}}}]]]}},
        {4: {0: [[{0: {2: "x"}}, [{0: "registers", 1: {14: {0: []}}}]]]}},
        {77: 1},
    ],
)
def test_neither_grammar_takes_another_comid(name: str, change: dict[int, object]) -> None:
    _, rules, make = SIGNED[name]
    comid = {**comids_of(make())[0], **change}
    with pytest.raises((Invalid, StopIteration)):
        rule("corim.cddl", rules[0]).validate_obj(comid)
    if change != {4: {}}:  # zcbor has no word for a map that must not be empty
        with pytest.raises((Invalid, StopIteration)):
            COMID.validate_obj(comid)


def _opened(value: object) -> Iterator[object]:
    """Every item, also within byte strings that hold CBOR."""
    yield value
    match value:
        case dict():
            for key, item in value.items():
                yield key
                yield from _opened(item)
        case list():
            for item in value:
                yield from _opened(item)
        case cbor.Tag():
            yield from _opened(load(value.value) if value.tag == 506 else value.value)
        case _:
            pass


@pytest.mark.parametrize("name", SIGNED)
def test_an_algorithm_stands_once_in_a_list_of_digests(name: str) -> None:
    """Draft, 7.7: each entry in a ``digests-type`` has a unique ``alg``."""
    lists = 0
    payload = load(cose.parse(SIGNED[name][2](), "test").unverified_payload)
    for item in _opened(payload):
        if isinstance(item, dict) and isinstance(item.get(14), dict):
            for digests in item[14].values():
                lists += 1
                assert len({algorithm for algorithm, _ in digests}) == len(digests)
    assert lists or name == "endorsement"


def test_measured_elements_of_a_triple_are_distinct() -> None:
    """Draft, 5.1.5.1: each entry of a triple is the state of a different measured element."""
    triples = [comid[4][0] for comid in comids_of(with_alternatives())]
    keys = [[measurement[0] for measurement in record[1]] for records in triples for record in records]
    first, second, third = ["registers", "files", "ima-key"], ["registers", "files"], ["registers"]
    assert keys == [first, second, third, second, third, third]


@pytest.mark.parametrize("name", SIGNED)
def test_the_published_grammar_is_not_a_rubber_stamp(name: str) -> None:
    raw = SIGNED[name][2]()
    decoded = load(raw)
    assert isinstance(decoded, cbor.Tag)
    protected, unprotected, payload, signature = decoded.value
    other = load(payload)
    assert isinstance(other, cbor.Tag)
    no_comid: dict[int, object] = {1: []}
    other_tag: dict[int, object] = {1: [cbor.Tag(505, b"")]}
    changes: tuple[dict[int, object], ...] = (no_comid, other_tag, {4: {}}, {4: {1: 5}}, {0: 5})
    for change in changes:
        changed = cbor.encode(cbor.Tag(501, {**other.value, **change}))
        with pytest.raises((Invalid, StopIteration)):
            RULE.validate_obj(cbor.Tag(18, [protected, unprotected, changed, signature]))
