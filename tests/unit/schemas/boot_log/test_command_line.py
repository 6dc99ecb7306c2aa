"""The kernel's command line: the digest that proves it, and the arguments that the kernel reads."""

import pytest

from schemas.boot_log.command_line import COMMAND_LINE_PCR, arguments_of, load_options_digest
from schemas.boot_log.facts import BootFacts
from schemas.boot_log.records import BootEvent
from schemas.hashes import SHA1, SHA256, HashAlgorithm


def event(*digests: tuple[HashAlgorithm, bytes], index: int = COMMAND_LINE_PCR, kind: int = 6) -> BootEvent:
    listed = tuple((bank.tpm_id, value) for bank, value in digests)
    return BootEvent(pcr_index=index, event_type=kind, digests=listed, data=b"")


def test_the_stub_extends_utf16_with_its_terminator() -> None:
    assert load_options_digest("a=ä", SHA256) == SHA256.digest(b"a\0=\0\xe4\0\0\0")
    assert load_options_digest("a=ä", SHA1) == SHA1.digest(b"a\0=\0\xe4\0\0\0")
    assert len(load_options_digest("\udcff", SHA256)) == SHA256.size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("quiet  ima_policy=tcb\troot=/dev/vda", ("quiet", "ima_policy=tcb", "root=/dev/vda")),
        ('ima_policy="tcb secure_boot" quiet', ("ima_policy=tcb secure_boot", "quiet")),
        ('"a b=c d" e', ("a b=c d", "e")),
        ("root=x -- ima_policy=tcb", ("root=x",)),
        ('a="-- b" c -- d', ("a=-- b", "c")),
        ('x="ima_policy=tcb', ("x=ima_policy=tcb",)),
        ("x=--", ("x=--",)),
    ],
)
def test_arguments_are_those_that_the_kernel_reads(text: str, expected: tuple[str, ...]) -> None:
    assert arguments_of(text) == expected


def test_the_first_digest_of_pcr_9_counts() -> None:
    first, second = b"\1" * 32, b"\2" * 32
    facts = BootFacts().after([event((SHA256, second), index=8)], [SHA256])
    assert facts.load_options is None
    facts = facts.after([event((SHA256, bytes(32)), kind=3)], [SHA256])  # EV_NO_ACTION extends nothing
    assert facts.load_options is None
    facts = facts.after([event((SHA256, first))], [SHA256]).after([event((SHA256, second))], [SHA256])
    assert facts.load_options == first


def test_of_several_banks_the_strongest_counts() -> None:
    both = event((SHA1, b"\1" * 20), (SHA256, b"\2" * 32))
    assert BootFacts().after([both], [SHA1, SHA256]).load_options == b"\2" * 32
    assert BootFacts().after([both], [SHA1]).load_options == b"\1" * 20
    weak = event((SHA1, b"\1" * 20))
    assert BootFacts().after([weak, both], [SHA1, SHA256]).load_options == b""
    assert BootFacts().after([weak, both], [SHA256]).load_options == b"\2" * 32, "it did not extend this bank"
