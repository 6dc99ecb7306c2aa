"""Appraisal policies: what is wrong with a bad one, and what a good one does to a verdict."""

import hashlib
from dataclasses import replace

import pytest

from runtime.settings import build
from schemas.boot_log.facts import BootFacts, SecureBoot
from schemas.errors import ConfigError, PeerError
from schemas.messages.policy import SignedPolicy
from schemas.reasons import Reason
from schemas.verdicts import Tier, TrustClaim, Weight
from tests.worlds.device import make_policy, make_trust
from tests.worlds.step_bench import Bench
from verifier_worker.adapters.loaded_files import compile_policy
from verifier_worker.core.policy.cel_rules import FACTS, compile_rule
from verifier_worker.core.policy.ima_demands import ImaTable
from verifier_worker.core.policy.in_force import Choice, Policies
from verifier_worker.core.policy.policy_file import (
    BootTable,
    PolicyTable,
    RuleTable,
    check_policy,
)
from verifier_worker.core.step import overdue
from verifier_worker.core.trust import Trust

GOOD = """
id = "fleet"
version = 3
groups = ["edge"]
pcrs = "sha256:0-10"
reference_values = ["good"]
deadline_s = 10
[logs]
tcg2 = [0, 1, 2, 3, 4, 5, 6, 7]
ima = [10]
[boot]
secure_boot = true
loaders = ["%s"]
[ima]
exclude = ["/var/cache/*"]
[weights]
file-unexpected = "warning"
[[rules]]
name = "old kernel"
when = 'said["kernel"].startsWith("5.")'
then = "warning"
""" % ("ab" * 32)


TEN = "[1,2,3,4,5,6,7,8,9,10]"
WHEN = 'when = \'said["kernel"].startsWith("5.")\''


def test_a_policy_is_read() -> None:
    policy = check_policy(build(GOOD, PolicyTable, "fleet.toml"))
    assert policy.label == "fleet/3"
    assert policy.groups == ("edge",)
    assert policy.weights == {Reason.FILE_UNEXPECTED: Weight.WARNING}
    assert [each.rule.name for each in policy.rules] == ["old kernel"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'when = \'said["kernel"].startsWith("5.")\'',
            "when = 'sid == 1'",
            "line 1, column 1: undeclared reference to 'sid'",
        ),
        (
            'when = \'said["kernel"].startsWith("5.")\'',
            "when = '''\nage_s > 1.0\n  && violations'''",
            "line 2, column 3",
        ),
        (WHEN, "when = 'age_s <'", "line 1, column 8: Syntax error"),
        (WHEN, "when = 'violations + 1'", "of type int, expected bool"),
        (WHEN, f"when = '{'1==1 && ' * 400}true'", "the limit is 2048"),
        ('then = "warning"', 'then = "bad"', "rules[0].then: 'bad', expected told, warning, none, contraindicated"),
        ('then = "warning"', 'them = "warning"', "rules[0].them: unknown key; known here: name, when, then"),
        (
            'file-unexpected = "warning"',
            'file-unexpected = "told"',
            "weights.file-unexpected: 'told', expected warning",
        ),
        ('file-unexpected = "warning"', 'evidence-too-old = "told"', "weights.evidence-too-old: not a reason"),
        ('["/var/cache/*"]', '["*"]', "ima.exclude: '*', expected a path below /"),
        ('["/var/cache/*"]', '["/*"]', "ima.exclude: '/*', expected a path below /"),
        ("ab" * 32, "ab" * 31, "boot.loaders: 'ababab"),
        ("tcg2 = [0, 1, 2, 3, 4, 5, 6, 7]", "tcg2 = [0]", "boot: needs PCRs [4, 7]"),
        ('groups = ["edge"]', "groups = []", "groups: expected names of groups"),
        ("[boot]", "[boots]", "boots: unknown key"),
        ('id = "fleet"', 'id = "fleet', "not TOML"),
    ],
)
def test_a_bad_policy_is_explained(old: str, new: str, problem: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        check_policy(build(GOOD.replace(old, new), PolicyTable, "fleet.toml"))
    assert problem in caught.value.detail


def test_two_rules_of_one_name_are_refused() -> None:
    rule = RuleTable(name="a", when="true")
    with pytest.raises(ConfigError, match="two have the same name"):
        make_policy(rules=(rule, rule))


def test_only_what_decides_measurements_makes_logs_be_judged_anew() -> None:
    base = make_policy()
    assert make_policy(max_age_s=7.0, version=9, rules=(RuleTable(name="a", when="true"),)).measures == base.measures
    assert make_policy(ima=ImaTable(exclude=("/tmp/a*",))).measures != base.measures


def bench_with(**policy: object) -> Bench:
    """A device with a policy; its baseline is accepted."""
    bench = Bench(policy_changes=policy)
    bench.take(bench.device.push())
    return bench


def found(bench: Bench) -> tuple[Tier, set[Reason], dict[TrustClaim, int]]:
    assert bench.state is not None
    status, reasons = bench.verdict()
    return status, reasons, dict(bench.state.verdict.vector)


@pytest.mark.parametrize(
    ("weight", "status", "values"),
    [
        ("warning", Tier.WARNING, {TrustClaim.EXECUTABLES: 33, TrustClaim.FILE_SYSTEM: 32}),
        ("none", Tier.NONE, {}),
        ("contraindicated", Tier.CONTRAINDICATED, {TrustClaim.EXECUTABLES: 96, TrustClaim.FILE_SYSTEM: 96}),
    ],
)
def test_a_policy_weighs_reasons(weight: str, status: Tier, values: dict[TrustClaim, int]) -> None:
    bench = bench_with(weights={"file-unexpected": weight})
    bench.device.run(b"/usr/bin/odd", b"odd")
    bench.take(bench.device.push())
    assert found(bench)[:2] == (status, {Reason.FILE_UNEXPECTED})
    assert found(bench)[2].items() >= values.items()


def test_a_told_reason_can_be_made_to_count() -> None:
    bench = bench_with(weights={"rebooted": "warning"})
    bench.device.reboot()
    bench.device.sync(bench.handle)
    bench.take(bench.device.push())
    assert found(bench)[:2] == (Tier.WARNING, {Reason.REBOOTED})
    bench.take(bench.device.push())
    assert found(bench)[:2] == (Tier.AFFIRMING, set())


def test_excluded_paths_need_no_reference_value_and_are_counted() -> None:
    bench = bench_with(ima=ImaTable(exclude=("/var/cache/*",), agent=()))
    bench.device.run(b"/var/cache/font", b"1")
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert bench.state is not None
    assert bench.state.measured.excluded == 1
    bench.device.run(b"/var/cachet", b"2")
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})


@pytest.mark.parametrize(
    ("when", "then", "status", "reasons"),
    [
        ('said["kernel"] == "6.1"', "warning", Tier.WARNING, {Reason.POLICY_RULE}),
        ('said["kernel"] == "5.4"', "contraindicated", Tier.AFFIRMING, set()),
        ("log_entries['ima'] > 0 && age_s < 60.0", "told", Tier.AFFIRMING, {Reason.POLICY_RULE}),
        ("clock_safe", "none", Tier.NONE, {Reason.POLICY_RULE}),
        ('said["absent"] == "x"', "warning", Tier.NONE, {Reason.POLICY_RULE_FAILED}),
        ("violations / unexpected_total == 1", "warning", Tier.NONE, {Reason.POLICY_RULE_FAILED}),
        ("group == '' && ueid != '' && 'x' in reasons", "warning", Tier.AFFIRMING, set()),
        (
            "TEN.all(a, TEN.all(b, TEN.all(c, TEN.all(d, TEN.all(e, a + b + c + d + e > 0)))))".replace("TEN", TEN),
            "warning",
            Tier.NONE,
            {Reason.POLICY_RULE_FAILED},
        ),
    ],
)
def test_rules_are_asked(when: str, then: str, status: Tier, reasons: set[Reason]) -> None:
    bench = bench_with(rules=(RuleTable(name="rule", when=when, then=then),))
    assert bench.verdict() == (status, reasons)


def test_a_device_without_a_baseline_is_not_asked() -> None:
    """What is not known yet must not be held against it."""
    rule = RuleTable(name="not known", when='!("kernel" in said)', then="contraindicated")
    bench = Bench(policy_changes={"rules": (rule,)})
    bench.device.push()  # the baseline is lost
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.BASELINE_REQUIRED, Reason.LOG_INCOMPLETE})


def test_a_rule_sees_what_was_found_before_it() -> None:
    rule = RuleTable(
        name="odd path", when="unexpected.exists(path, path.startsWith('/opt/')) && 'file-unexpected' in reasons"
    )
    bench = bench_with(rules=(rule,))
    bench.device.run(b"/opt/odd", b"odd")
    taken = bench.take(bench.device.push())
    assert Reason.POLICY_RULE in {finding.reason for finding in taken.findings}
    assert "odd path" in {finding.detail for finding in taken.findings}


def test_every_fact_can_be_used() -> None:
    for name in FACTS:
        compile_rule("uses it", f"{name} == {name}")


def boot_bench(boot: BootFacts, table: BootTable) -> set[Reason]:
    """Reasons for a device whose boot log adds up to ``boot``."""
    bench = bench_with(boot=table)
    assert bench.state is not None
    bench.state = replace(bench.state, measured=replace(bench.state.measured, boot=boot), appraised=None)
    bench.take(bench.device.push())
    return bench.verdict()[1]


READ = BootFacts(secure_boot_value=SecureBoot.ENABLED, secure_boot_ended=True, images=(b"a" * 32,), images_total=1)


@pytest.mark.parametrize(
    ("boot", "table", "reasons"),
    [
        (READ, BootTable(secure_boot=True, no_test_keys=True, loaders=((b"a" * 32).hex(),)), set()),
        (replace(READ, secure_boot_value=SecureBoot.DISABLED), BootTable(secure_boot=True), {Reason.SECURE_BOOT_OFF}),
        (replace(READ, secure_boot_ended=False), BootTable(secure_boot=True), {Reason.BOOT_UNKNOWN}),
        (replace(READ, secure_boot_broken=True), BootTable(no_test_keys=True), {Reason.BOOT_UNKNOWN}),
        (replace(READ, test_keys=True), BootTable(no_test_keys=True), {Reason.TEST_KEYS_ENROLLED}),
        (READ, BootTable(loaders=((b"b" * 32).hex(),)), {Reason.BOOT_LOADER_UNEXPECTED}),
        (replace(READ, images_total=9), BootTable(loaders=((b"a" * 32).hex(),)), {Reason.BOOT_LOADER_UNEXPECTED}),
        (replace(READ, images_unknown=True), BootTable(loaders=((b"a" * 32).hex(),)), {Reason.BOOT_UNKNOWN}),
    ],
)
def test_the_boot_is_as_required(boot: BootFacts, table: BootTable, reasons: set[Reason]) -> None:
    assert boot_bench(boot, table) == reasons


def signed(name: str, *, version: int = 1, groups: str = '["*"]', until_s: int = 2**40) -> SignedPolicy:
    text = f'id = "{name}"\ngroups = {groups}\npcrs = "sha256:0"\nreference_values = []\ndeadline_s = 5\n'
    return SignedPolicy(id=name, version=version, signer="e", not_before_s=0, not_after_s=until_s, text=text)


def test_a_group_has_the_policy_that_names_it() -> None:
    policies = Policies(make_policy(), compile_policy)
    assert policies.choose("", 10).policy == policies.choose("edge", 10).policy  # the worker's own
    policies.take(signed("all"))
    policies.take(signed("edge", groups='["edge", "lab"]', until_s=100))
    labels = {group: policies.choose(group, 10).policy for group in ("", "edge", "lab", "*")}
    assert {group: policy.label for group, policy in labels.items() if policy is not None} == {
        "": "all/1",
        "edge": "edge/1",
        "lab": "edge/1",
        "*": "all/1",
    }
    assert 101 in set(policies.edges_s())
    assert policies.choose("edge", 101) == Choice(missing="edge/1, which is not valid now")


def test_two_policies_for_one_group_are_none() -> None:
    policies = Policies(None, compile_policy)
    assert policies.choose("", 10).policy is None
    policies.take(signed("a"))
    policies.take(signed("b"))
    choice = policies.choose("", 10)
    assert (choice.policy, choice.conflict) == (None, "a/1, b/1")
    bench = Bench()
    trust: Trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy)
    bench.trust = replace(trust, policy=None, conflict=choice.conflict)
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.NONE
    assert Reason.POLICY_CONFLICT in bench.verdict()[1]


def test_a_policy_that_does_not_compile_changes_nothing() -> None:
    policies = Policies(None, compile_policy)
    policies.take(signed("a"))
    with pytest.raises(PeerError) as caught:
        policies.take(replace(signed("a", version=2), text='id = "b"'))
    assert caught.value.reason is Reason.POLICY_INVALID
    assert policies.version("a") == 1


def test_a_stricter_policy_counts_at_the_next_push() -> None:
    """Though nothing new is measured: PCRs and boot are judged again under every version."""
    bench = bench_with()
    assert bench.verdict() == (Tier.AFFIRMING, set())
    stricter = make_policy(version=2, boot=BootTable(loaders=((b"b" * 32).hex(),)))
    bench.trust = replace(bench.trust, policy=stricter)
    bench.take(bench.device.push())
    assert bench.verdict()[1] & {Reason.BOOT_LOADER_UNEXPECTED, Reason.BOOT_UNKNOWN}
    bench.trust = replace(bench.trust, policy=make_policy(version=3))
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_what_was_unexpected_is_named_with_its_digest() -> None:
    bench = bench_with()
    bench.device.run(b"/usr/bin/odd", b"odd")
    taken = bench.take(bench.device.push())
    assert [(finding.detail, finding.digest) for finding in taken.findings] == [
        ("/usr/bin/odd", hashlib.sha256(b"odd").digest())
    ]


def test_a_policy_of_the_same_label_is_another_one_nevertheless() -> None:
    """The worker's own and a signed one can share a name and version."""
    bench = bench_with()
    bench.trust = replace(bench.trust, policy=make_policy(boot=BootTable(loaders=((b"b" * 32).hex(),))))
    bench.take(bench.device.push())
    assert bench.verdict()[1] & {Reason.BOOT_LOADER_UNEXPECTED, Reason.BOOT_UNKNOWN}


@pytest.mark.parametrize("name", ["deadline_s", "result_lifetime_s", "max_age_s", "max_handle_age_s", "grace_s"])
@pytest.mark.parametrize("seconds", ["inf", "nan", "-1", "1e18"])
def test_times_that_no_clock_reaches(name: str, seconds: str) -> None:
    """A signed policy with one of them must not end the workers that read it."""
    policies = Policies(None, compile_policy)
    text = signed("a").text.replace("deadline_s = 5\n", "" if name == "deadline_s" else "deadline_s = 5\n")
    with pytest.raises(PeerError, match=name) as caught:
        policies.take(replace(signed("a"), text=f"{text}{name} = {seconds}\n"))
    assert caught.value.reason is Reason.POLICY_INVALID


def test_a_text_that_is_nested_without_end() -> None:
    with pytest.raises(PeerError, match="nested") as caught:
        Policies(None, compile_policy).take(replace(signed("a"), text="a = " + "[" * 60_000))
    assert caught.value.reason is Reason.POLICY_INVALID


def test_a_version_that_does_not_compile_still_replaced_those_before_it() -> None:
    """After a restart under a release that cannot read it, the broker must not bring back its predecessor."""
    policies = Policies(None, compile_policy)
    unread = replace(signed("a", version=2), text='id = "a"\nof_a_later_release = 1')
    for _ in range(2):  # told so each time
        with pytest.raises(PeerError) as caught:
            policies.take(unread)
        assert caught.value.reason is Reason.POLICY_INVALID
    with pytest.raises(PeerError) as caught:
        policies.take(signed("a", version=1))
    assert caught.value.reason is Reason.OBJECT_ROLLED_BACK
    policies.take(signed("a", version=3))
    assert policies.version("a") == 3


def test_a_stored_policy_that_cannot_be_read_any_more_leaves_its_groups_without_one() -> None:
    """After an update of the verifier: its groups must not fall to a weaker policy."""
    policies = Policies(make_policy(), compile_policy)
    policies.take(signed("all"))
    edge = signed("edge", groups='["edge"]')
    with pytest.raises(PeerError):
        policies.take(replace(edge, text=edge.text + "future = 1\n"), stored=True)
    assert policies.choose("edge", 10).conflict == "edge/1, which cannot be read"
    other = policies.choose("", 10).policy
    assert other is not None
    assert other.label == "all/1"
    policies.take(replace(edge, version=2))
    again = policies.choose("edge", 10).policy
    assert again is not None
    assert again.label == "edge/2"


def test_the_validity_of_a_policy_that_cannot_be_read_is_an_edge_too() -> None:
    policies = Policies(make_policy(), compile_policy)
    later = replace(signed("edge", groups='["edge"]'), not_before_s=50, not_after_s=99)
    with pytest.raises(PeerError):
        policies.take(replace(later, text=later.text + "future = 1\n"), stored=True)
    assert policies.choose("edge", 50).conflict
    assert {50, 100} <= set(policies.edges_s())


def test_what_a_rule_found_is_still_said_when_nothing_comes_any_more() -> None:
    """Bad stays bad when its attester falls silent, and says why."""
    bench = bench_with(rules=(RuleTable(name="never", when="true"),))
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.POLICY_RULE})
    assert bench.state is not None
    assert bench.state.deadline_us is not None
    stale = overdue(bench.state, bench.state.deadline_us).verdict
    assert stale.status is Tier.CONTRAINDICATED
    assert stale.reasons == (Reason.EVIDENCE_OVERDUE, Reason.POLICY_RULE)
