"""Secure Boot and boot images: asked or not, vouched for or not, good or bad."""

from dataclasses import replace

import pytest

from schemas.boot_log.command_line import COMMAND_LINE_PCR, load_options_digest
from schemas.boot_log.facts import IMAGES_PCR, SECURE_BOOT_PCR, BootFacts, SecureBoot
from schemas.hashes import SHA1, SHA256, SHA384, HashAlgorithm
from schemas.reasons import Reason
from schemas.tpm.pcr import parse_selection_text
from tests.builders.owners import owners_in
from tests.worlds.device import ALWAYS_CURRENT, make_policy
from tests.worlds.step_bench import Bench
from verifier_worker.core.checks.appraisal_input import AppraisalInput
from verifier_worker.core.checks.secure_boot import (
    command_line_is_as_required,
    loaders_are_as_required,
    secure_boot_is_as_required,
)
from verifier_worker.core.finding import Finding
from verifier_worker.core.policy.policy_file import BootTable

GOOD, BAD = b"\x0a" * 32, b"\x0b" * 32
ENABLED = BootFacts(secure_boot_value=SecureBoot.ENABLED, secure_boot_ended=True)
DISABLED = BootFacts(secure_boot_value=SecureBoot.DISABLED, secure_boot_ended=True)
UNKNOWN_STATE = [Finding(reason=Reason.BOOT_UNKNOWN, detail="Secure Boot (PCR 7)")]
UNKNOWN_IMAGES = [Finding(reason=Reason.BOOT_UNKNOWN, detail="boot images (PCR 4), by SHA-256")]


def given(
    boot: BootFacts,
    *,
    owners: dict[int, tuple[str, ...]] | None = None,
    banks: tuple[HashAlgorithm, ...] = (SHA256,),
    quoted: str = "sha256:0-10",
    **asked: object,
) -> AppraisalInput:
    bench = Bench()
    bench.take(bench.device.push())
    state = bench.state
    assert state is not None
    vouching = (IMAGES_PCR, SECURE_BOOT_PCR, COMMAND_LINE_PCR)
    owned = dict.fromkeys(vouching, ("tcg2",)) if owners is None else owners
    return AppraisalInput(
        state=replace(
            state,
            measured=replace(state.measured, boot=boot, owners=owners_in(owned, *banks)),
            replay=replace(state.replay, banks=banks),
            selection=parse_selection_text(quoted),
        ),
        handle=bench.handle,
        policy=make_policy(boot=BootTable(**asked)),  # type: ignore[arg-type]  # fields by name
        references=bench.trust.references,
        conflict="",
        missing="",
        current=ALWAYS_CURRENT,
        group="",
        genuine=False,
    )


def secure_boot(facts: AppraisalInput) -> list[Finding]:
    return list(secure_boot_is_as_required(facts))


def loaders(facts: AppraisalInput) -> list[Finding]:
    return list(loaders_are_as_required(facts))


def test_nothing_is_asked_without_a_policy_or_where_the_policy_asks_nothing() -> None:
    unasked = given(DISABLED)
    for each in (unasked, replace(unasked, policy=None)):
        assert secure_boot(each) == []
        assert loaders(each) == []


def test_secure_boot_is_enforced_or_it_is_off() -> None:
    assert secure_boot(given(ENABLED, secure_boot=True)) == []
    assert secure_boot(given(DISABLED, secure_boot=True)) == [Finding(reason=Reason.SECURE_BOOT_OFF)]
    assert secure_boot(given(DISABLED, no_test_keys=True)) == []


def test_test_keys_are_found_where_they_are_asked_for() -> None:
    marked = replace(ENABLED, test_keys=True)
    enrolled = Finding(reason=Reason.TEST_KEYS_ENROLLED)
    assert secure_boot(given(marked, no_test_keys=True)) == [enrolled]
    assert secure_boot(given(marked, secure_boot=True)) == []
    both = given(replace(marked, secure_boot_value=SecureBoot.DISABLED), secure_boot=True, no_test_keys=True)
    assert secure_boot(both) == [Finding(reason=Reason.SECURE_BOOT_OFF), enrolled]


@pytest.mark.parametrize("asked", ["secure_boot", "no_test_keys"])
def test_what_pcr_7_does_not_say_is_unknown(asked: str) -> None:
    unended = replace(ENABLED, secure_boot_ended=False, test_keys=True)
    assert secure_boot(given(unended, **{asked: True})) == UNKNOWN_STATE  # type: ignore[arg-type]  # field by name


@pytest.mark.parametrize(
    "unvouched",
    [
        {"owners": {SECURE_BOOT_PCR: ("tcg2", "ima"), IMAGES_PCR: ("ima", "tcg2")}},
        {"owners": {}},
        {"owners": {SECURE_BOOT_PCR: ("ima",), IMAGES_PCR: ("ima",)}},
        {"quoted": "sha256:0-3"},
        {"banks": (SHA256, SHA1)},
    ],
)
def test_only_the_boot_log_alone_in_every_quoted_bank_vouches(unvouched: dict[str, object]) -> None:
    facts = replace(ENABLED, images=(GOOD,), images_total=1)
    asked = {"secure_boot": True, "loaders": (GOOD.hex(),)}
    assert secure_boot(given(facts, **unvouched, **asked)) == UNKNOWN_STATE  # type: ignore[arg-type]  # by name
    assert loaders(given(facts, **unvouched, **asked)) == UNKNOWN_IMAGES  # type: ignore[arg-type]  # by name


def test_every_image_is_a_listed_one() -> None:
    asked = (GOOD.hex(),)
    unexpected = Finding(reason=Reason.BOOT_LOADER_UNEXPECTED, detail="boot image", digest=BAD)
    assert loaders(given(BootFacts(images=(GOOD,), images_total=1), loaders=asked)) == []
    assert loaders(given(BootFacts(images=(GOOD, BAD), images_total=2), loaders=asked)) == [unexpected]


def test_images_beyond_those_that_are_kept_are_unexpected() -> None:
    more = Finding(reason=Reason.BOOT_LOADER_UNEXPECTED, detail="1 boot images more than can be known")
    assert loaders(given(BootFacts(images=(GOOD,), images_total=2), loaders=(GOOD.hex(),))) == [more]


@pytest.mark.parametrize(
    ("facts", "banks", "quoted"),
    [
        (BootFacts(), (SHA256,), "sha256:0-10"),
        (BootFacts(images=(GOOD,), images_total=1, images_unknown=True), (SHA256,), "sha256:0-10"),
        (BootFacts(images=(GOOD,), images_total=1), (SHA384,), "sha384:0-10"),
        (BootFacts(images=(GOOD,), images_total=1), (SHA256, SHA384), "sha256:0-10+sha384:0-10"),
        (BootFacts(images=(GOOD,), images_total=1), (SHA1,), "sha1:0-10"),
        (BootFacts(images=(GOOD,), images_total=1), (), "sha256:0-10"),
    ],
)
def test_images_are_known_by_their_sha256_or_not_at_all(
    facts: BootFacts, banks: tuple[HashAlgorithm, ...], quoted: str
) -> None:
    assert loaders(given(facts, banks=banks, quoted=quoted, loaders=(GOOD.hex(),))) == UNKNOWN_IMAGES


def test_a_weaker_bank_beside_sha256_does_not_matter() -> None:
    facts = BootFacts(images=(GOOD,), images_total=1)
    for banks in ((SHA1, SHA256), (SHA256, SHA1)):
        assert loaders(given(facts, banks=banks, quoted="sha1:0-10+sha256:0-10", loaders=(GOOD.hex(),))) == []


TEXT = 'root=/dev/vda ima_policy="tcb secure_boot" nohibernate'
STARTED = BootFacts(load_options=load_options_digest(TEXT, SHA256))
UNKNOWN_LINE = [Finding(reason=Reason.BOOT_UNKNOWN, detail="kernel command line (PCR 9)")]


def command_line(facts: AppraisalInput, claimed: object = TEXT) -> list[Finding]:
    claims = {} if claimed is None else {"kernel-command-line": claimed}
    state = replace(facts.state, claims=claims)  # type: ignore[arg-type]  # as an attester may claim
    return list(command_line_is_as_required(replace(facts, state=state)))


def test_the_command_line_has_the_arguments_or_lacks_them() -> None:
    assert command_line(given(STARTED)) == []
    assert command_line(replace(given(STARTED), policy=None)) == []
    wanted = ("nohibernate", "ima_policy=*tcb*", "root=/dev/vda")
    assert command_line(given(STARTED, arguments=wanted)) == []
    wanted = ("hibernate", "ima_policy=tcb", "nohibernate")
    missing = [Finding(reason=Reason.KERNEL_ARGUMENT_MISSING, detail=each) for each in wanted[:2]]
    assert command_line(given(STARTED, arguments=wanted)) == missing


@pytest.mark.parametrize("claimed", [None, TEXT + " ", TEXT.encode(), True, "", "nohibernate"])
def test_a_command_line_that_pcr_9_does_not_prove_is_unknown(claimed: object) -> None:
    assert command_line(given(STARTED, arguments=("nohibernate",)), claimed) == UNKNOWN_LINE


def test_a_command_line_is_unknown_if_pcr_9_vouches_for_nothing() -> None:
    asked = ("nohibernate",)
    assert command_line(given(BootFacts(), arguments=asked)) == UNKNOWN_LINE
    assert command_line(given(STARTED, owners={}, arguments=asked)) == UNKNOWN_LINE
    assert command_line(given(STARTED, owners={9: ("cel/app", "tcg2")}, arguments=asked)) == UNKNOWN_LINE
    assert command_line(given(STARTED, quoted="sha256:0-8,10", arguments=asked)) == UNKNOWN_LINE
    both = given(STARTED, banks=(SHA256, SHA384), quoted="sha256:0-10+sha384:0-10", arguments=asked)
    assert command_line(both) == UNKNOWN_LINE, "only the stronger bank proves it"
    strong = BootFacts(load_options=load_options_digest(TEXT, SHA384))
    assert command_line(given(strong, banks=(SHA256, SHA384), quoted="sha256:0-10+sha384:0-10", arguments=asked)) == []
