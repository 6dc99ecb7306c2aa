"""What a policy demands of the IMA list: defaults, limits, and the patterns that a path matches."""

import pytest

from schemas.errors import ConfigError
from verifier_worker.core.policy.ima_demands import AGENT, MAX_PATTERNS, ImaDemands, ImaTable, check_ima


def test_by_default_the_list_must_hold_the_agent_of_the_package() -> None:
    demands = check_ima(ImaTable())
    assert demands.agent == AGENT == ("/usr/bin/attester-agent",)
    assert (demands.required, demands.excluded) == ((), None)
    assert demands.matching(b"/usr/bin/attester-agent") == {"/usr/bin/attester-agent"}
    assert demands.matching(b"/usr/bin/attester-agent2") == frozenset()


def test_a_path_matches_every_pattern_that_fits() -> None:
    demands = check_ima(ImaTable(agent=("/opt/*/agent", "/opt/a/agent"), required=("/opt/a/agent", "/etc/p[ab]")))
    assert demands.matching(b"/opt/a/agent") == {"/opt/*/agent", "/opt/a/agent"}
    assert demands.matching(b"/opt/b/c/agent") == {"/opt/*/agent"}
    assert demands.matching(b"/etc/pa") == {"/etc/p[ab]"}
    assert demands.matching(b"/opt/../etc/evil/agent") == frozenset()
    assert demands.matching(b"/opt/\xff/agent") == {"/opt/*/agent"}
    assert ImaDemands().matching(b"/anything") == frozenset()


@pytest.mark.parametrize("name", ["exclude", "agent", "required"])
@pytest.mark.parametrize("pattern", ["*", "/", "/*", "//**", "/?", "var/*", "", "/" + "x" * 4096])
def test_a_pattern_is_below_the_root(name: str, pattern: str) -> None:
    with pytest.raises(ConfigError, match=f"ima.{name}: "):
        check_ima(ImaTable(**{name: ("/var/*", pattern)}))


@pytest.mark.parametrize("name", ["exclude", "agent", "required"])
def test_there_are_at_most_sixty_four(name: str) -> None:
    check_ima(ImaTable(**{name: ("/a*",) * MAX_PATTERNS}))
    with pytest.raises(ConfigError, match=f"ima.{name}: 65 patterns, the limit is 64"):
        check_ima(ImaTable(**{name: ("/a*",) * (MAX_PATTERNS + 1)}))
