"""Each attack of the catalogue on the pure core is held; so is the form of the catalogue."""

import pytest

from tests.attacks.__main__ import main
from tests.attacks.attempt import Attempt, Outcome, attempt
from tests.attacks.catalogue import Attack, Attacker, Layer, catalogue, chosen
from tests.attacks.seen import Seen, best_for_the_attacker
from tests.attacks.table import summary

UNIT = [each for each in catalogue() if each.layer is Layer.UNIT]


@pytest.mark.parametrize("attack", UNIT, ids=[each.name for each in UNIT])
def test_it_is_held(attack: Attack) -> None:
    made = attempt(attack)
    assert made.outcome is Outcome.HELD, made.seen


def an_attack(right: str, seen: Seen | None, code: str | None = None) -> Attack:
    def act(_: object) -> Seen:
        assert seen is not None, "no answer"
        return seen

    return Attack(
        name="a/b/c",
        by=Attacker.NOBODY,
        goal="see",
        tried="it",
        right=(right,),
        code=code,  # type: ignore[arg-type]  # compared as text
        layer=Layer.UNIT,
        needs=(),
        act=act,
    )


def test_each_ending_has_its_word() -> None:
    none = Seen(verdict="none", reasons=("log-missing",))
    assert attempt(an_attack("none", none, "log-missing")).outcome is Outcome.HELD
    assert attempt(an_attack("affirming", none)).outcome is Outcome.FOOLED
    assert attempt(an_attack("none", none, "log-gap")).outcome is Outcome.OTHER_CODE
    assert attempt(an_attack("none", None)).outcome is Outcome.BROKEN


def test_the_best_of_many_tries_is_that_which_fooled_most() -> None:
    tries = [Seen(verdict=each) for each in ("refused", "affirming", "contraindicated", "none")]
    assert best_for_the_attacker(tries).verdict == "affirming"


def test_names_choose_by_part_and_by_pattern() -> None:
    assert chosen([]) == catalogue()
    assert {each.name.split("/")[0] for each in chosen(["network/*"])} == {"network"}
    assert chosen(["no_list_at_all"])[0].name == "root/silent_logs/no_list_at_all"


def test_the_command_ends_with_0_only_if_all_are_held(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no_list_at_all"]) == 0
    told = capsys.readouterr().out
    assert "ROOT ON THE DEVICE wants to be affirmed" in told
    assert "HELD" in told
    assert "log-missing" in told
    assert main(["no such attack"]) == 2
    assert main(["--list"]) == 0
    broken = Attempt(attack=UNIT[0], seen=Seen(verdict="affirming"), outcome=Outcome.FOOLED, seconds=1.0)
    assert summary([broken]) == "1 attacks: 1 FOOLED; 1.0 s"
