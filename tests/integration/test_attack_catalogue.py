"""Each attack of the catalogue against real processes and a real broker is held."""

import pytest

from tests.attacks.attempt import Outcome, attempt
from tests.attacks.catalogue import Attack, Layer, catalogue

INTEGRATION = [each for each in catalogue() if each.layer is Layer.INTEGRATION]


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("attack", INTEGRATION, ids=[each.name for each in INTEGRATION])
def test_it_is_held(attack: Attack) -> None:
    made = attempt(attack)
    assert made.outcome is Outcome.HELD, made.seen
