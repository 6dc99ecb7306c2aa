"""Several stamps of one handle: the first ones stay known, whichever arrived first."""

from dataclasses import replace

import pytest

from schemas.errors import PeerError
from schemas.identifiers import HandleId
from schemas.messages.handle import Handle
from schemas.reasons import Reason
from tests.worlds.device import T0_US, make_handle
from verifier_worker.adapters.known_handles import KnownHandles

TRUE = make_handle()


def stamped_again(number: int) -> Handle:
    return replace(TRUE, id=HandleId(bytes([number]) * 32), time_us=TRUE.time_us + number)


def test_others_that_arrive_first_get_the_true_one_not_refused() -> None:
    known = KnownHandles()
    for number in range(1, 5):
        known.take(stamped_again(number), T0_US)
    known.take(TRUE, T0_US)
    assert TRUE.id in known.by_id
    assert len(known.by_id) == 4
    assert known.newest in known.by_id


def test_no_number_of_others_displaces_it() -> None:
    known = KnownHandles()
    known.take(TRUE, T0_US)
    for number in range(1, 4):
        known.take(stamped_again(number), T0_US)
    for number in range(4, 20):
        with pytest.raises(PeerError) as caught:
            known.take(stamped_again(number), T0_US)
        assert caught.value.reason is Reason.HANDLE_NOT_NEWER
    assert TRUE.id in known.by_id
