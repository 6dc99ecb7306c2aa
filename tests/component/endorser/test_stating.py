"""Statements in files and in the service: one memory, growing numbers, published again until the broker has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from endorser.adapters.registry import Registry
from endorser.adapters.statement_file import StatementFile
from endorser.core.enrolment import Decision, Endorsed, Standing
from endorser.stating import Stating
from schemas.codecs import cose
from schemas.errors import ConfigError
from schemas.identifiers import Ueid
from schemas.messages.trust_objects import TRUST_OBJECTS
from schemas.messages.trust_statement import TrustStatement, Withdrawn, verify_statement
from schemas.topics import TopicKind, Topics
from tests.fakes.endorser import Wire

KEY, STRANGER = (generate_private_key(SECP256R1()) for _ in range(2))
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
UEID = Ueid(b"\x01" + bytes(32))
TOPICS = Topics()
TOPIC = TOPICS.statements(next(iter(KEYS)).hex())


class Desk:
    """A service's statements, with a registry and a wire."""

    def __init__(self, folder: Path) -> None:
        self.registry, self.wire = Registry(folder / "registry.db"), Wire()
        self.file = StatementFile(folder / "endorser.statement", KEY, "endorser")
        self.stating = Stating(self.file, self.registry, self.wire, TOPICS, 600)
        self.now_s = 1000.0

    def turn(self, seconds: float = 1) -> None:
        """Time passes, by both clocks."""
        self.now_s += seconds
        self.stating.turn(int(self.now_s), self.now_s)

    @property
    def sent(self) -> list[TrustStatement]:
        assert {topic for topic, _ in self.wire.sent} <= {TOPIC}
        kind = TRUST_OBJECTS[TopicKind.STATEMENTS]
        return [verify_statement(kind.unwrap(payload), KEYS) for _, payload in self.wire.sent]

    def decide(self, standing: Standing, *, at_s: int = 500, version: int = 7, not_after_s: int = 2**40) -> None:
        """An operator's decision, about a device with an endorsement."""
        endorsed = Endorsed(
            ueid=UEID, version=version, ak_name=b"n", ak_public=b"p", genuine=None, not_after_s=not_after_s, signed=b"s"
        )
        decision = Decision(at_s=at_s, ueid=UEID, action=str(standing), who="anna", detail="")
        self.registry.change_standing(standing, decision, lambda _device, _last: endorsed)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.registry.close()


@pytest.fixture(autouse=True)
def _clock(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endorser.adapters.statement_file.clock.utc_s", lambda: int(desk.now_s))


def test_a_statement_is_made_at_the_start_and_again_in_time(desk: Desk) -> None:
    desk.turn()
    desk.stating.confirmed([1])
    desk.turn(598)
    assert [each.issued_s for each in desk.sent] == [1001]
    desk.turn(2)
    assert [each.issued_s for each in desk.sent] == [1001, 1601]


@pytest.mark.parametrize(
    ("standing", "reported"),
    [
        (Standing.REVOKED, Withdrawn.REVOKED),
        (Standing.REJECTED, Withdrawn.REVOKED),
        (Standing.DECOMMISSIONED, Withdrawn.DECOMMISSIONED),
    ],
)
def test_a_decision_is_stated_at_once(desk: Desk, standing: Standing, reported: Withdrawn) -> None:
    desk.turn()
    desk.decide(standing, at_s=500, version=7)
    desk.turn()
    withdrawal = desk.sent[-1].withdrawn[UEID]
    assert (withdrawal.standing, withdrawal.below, withdrawal.at_s, withdrawal.by) == (reported, 501, 500, "anna")
    assert [each.number for each in desk.sent] == [1001, 1002]
    desk.decide(Standing.ADMITTED, version=1003)
    desk.turn()
    assert desk.sent[-1].withdrawn[UEID].standing is reported, "the versions before the readmission stay withdrawn"


def test_versions_under_another_key_are_replaced_until_they_end(desk: Desk) -> None:
    desk.decide(Standing.ADMITTED, version=7, not_after_s=1100)
    newer = Endorsed(ueid=UEID, version=9, ak_name=b"m", ak_public=b"p", genuine=None, not_after_s=2**40, signed=b"s")
    decision = Decision(at_s=8, ueid=UEID, action="rolled over", who="anna", detail="")
    desk.registry.change_standing(Standing.ADMITTED, decision, lambda _device, _last: newer)
    assert desk.registry.withdrawals(1100)[UEID].below == 9
    assert desk.registry.withdrawals(1100)[UEID].standing is Withdrawn.REPLACED
    assert desk.registry.withdrawals(1101) == {}


def test_a_renewal_under_the_same_key_replaces_nothing(desk: Desk) -> None:
    for version in (7, 9):
        desk.decide(Standing.ADMITTED, version=version)
    assert desk.registry.withdrawals(1000) == {}


def test_an_ended_version_withdraws_the_valid_one_before_it(desk: Desk) -> None:
    """After a readmission the revoked version must not come back."""
    desk.decide(Standing.ADMITTED, version=7)
    desk.decide(Standing.ADMITTED, version=8, not_after_s=6)
    assert desk.registry.withdrawals(1000)[UEID].below == 8


def test_what_another_process_states_is_published_too(desk: Desk) -> None:
    desk.turn()
    desk.now_s += 1
    with desk.file.next():
        pass
    desk.turn()
    assert [each.number for each in desk.sent] == [1001, 1002]


def test_a_statement_is_sent_again_until_the_broker_has_it(desk: Desk) -> None:
    desk.wire.up = False
    desk.turn()
    assert desk.sent == []
    desk.wire.up = True
    desk.turn()
    desk.turn(29)
    assert len(desk.sent) == 1
    desk.turn(2)
    assert len(desk.sent) == 2, "nobody confirmed it for half a minute"
    desk.stating.confirmed([2])
    desk.turn(40)
    assert len(desk.sent) == 2
    desk.stating.reconnected()
    desk.turn()
    assert len(desk.sent) == 3
    assert len({each.number for each in desk.sent}) == 1


def test_a_file_of_another_key_is_named(desk: Desk, tmp_path: Path) -> None:
    with StatementFile(tmp_path / "endorser.statement", STRANGER, "e").next():
        pass
    with pytest.raises(ConfigError, match=r"endorser\.statement: not a statement of this key .*; put it aside"):
        desk.file.last()


def test_what_fails_leaves_the_last_statement(desk: Desk) -> None:
    desk.turn()
    before = desk.file.last()

    def fail() -> None:
        with desk.file.next() as changing:
            changing.withdraw(["policies/none"], "")

    with pytest.raises(ConfigError):
        fail()
    assert desk.file.last() == before
