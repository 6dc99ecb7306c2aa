"""Each attack of the catalogue on a database, a worker or an audit log is held."""

import pytest

from tests.attacks.attempt import Outcome, attempt
from tests.attacks.catalogue import Attack, Layer, catalogue

COMPONENT = [each for each in catalogue() if each.layer is Layer.COMPONENT]


@pytest.mark.parametrize("attack", COMPONENT, ids=[each.name for each in COMPONENT])
def test_it_is_held(attack: Attack) -> None:
    made = attempt(attack)
    assert made.outcome is Outcome.HELD, made.seen
