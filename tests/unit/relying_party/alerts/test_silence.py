"""Silence of the broker and of verifiers, and the limits of a stranger on the broker."""

from relying_party.alerts.silence import Silence, SilenceSettings
from schemas.messages.alert import AlertKind

SETTINGS = SilenceSettings(broker_s=60.0, verifier_s=600.0, gone_s=30.0, unverified_every_s=300.0, settle_s=10.0)


def silence(*open_keys: str, settings: SilenceSettings = SETTINGS) -> Silence:
    made = Silence(settings, open_keys, 0.0)
    made.connected(0.0, connected=True)
    return made


def told(made: Silence, now_s: float) -> list[AlertKind]:
    """The kinds of the reports that are due; marks them as reported."""
    notices = list(made.notices(now_s))
    for notice in notices:
        made.mark_reported(notice, now_s)
    return [notice.kind for notice in notices]


def test_a_lost_broker_is_told_once_and_its_return_once() -> None:
    made = silence()
    made.connected(10.0, connected=False)
    assert told(made, 69.0) == []
    assert told(made, 70.0) == [AlertKind.BROKER_LOST]
    assert told(made, 700.0) == []
    made.connected(710.0, connected=True)
    assert told(made, 711.0) == [AlertKind.BROKER_BACK]
    assert not made.is_settled(719.0)
    assert made.is_settled(720.0)


def test_while_the_broker_is_away_no_verifier_is_called_silent() -> None:
    made = silence()
    made.heard("v", 1, 1.0)
    made.connected(10.0, connected=False)
    assert told(made, 5000.0) == [AlertKind.BROKER_LOST]
    made.connected(5001.0, connected=True)
    assert told(made, 5002.0) == [AlertKind.BROKER_BACK]
    assert told(made, 5001.0 + 599) == []
    assert told(made, 5001.0 + 600) == [AlertKind.VERIFIER_SILENT]


def test_replayed_results_keep_no_verifier_alive() -> None:
    made = silence()
    made.heard("v", 100, 0.0)
    for second in range(0, 600, 10):
        made.heard("v", 100, float(second))
        made.heard("v", 50, float(second))
    assert told(made, 600.0) == [AlertKind.VERIFIER_SILENT]
    made.heard("v", 101, 610.0)
    assert told(made, 611.0) == [AlertKind.VERIFIER_BACK]


def test_a_forged_status_silences_nobody_and_excuses_nobody() -> None:
    made = silence()
    for second in range(0, 300, 10):
        made.heard("v", second, float(second))
        made.status("v", float(second), online=False)
        made.status("stranger", float(second), online=False)
        assert told(made, float(second)) == []
    for second in range(300, 900, 10):
        made.status("v", float(second), online=True)
    assert told(made, 890.0) == [AlertKind.VERIFIER_SILENT]


def test_a_verifier_that_the_broker_calls_gone_is_told_sooner() -> None:
    made = silence()
    made.heard("v", 1, 0.0)
    made.status("v", 1.0, online=False)
    assert told(made, 30.0) == []
    assert told(made, 31.0) == [AlertKind.VERIFIER_SILENT]


def test_a_verifier_that_was_never_heard_is_missed_if_expected_and_any_if_none_is() -> None:
    assert told(silence(), 600.0) == [AlertKind.VERIFIER_SILENT]
    expected = silence(settings=SilenceSettings(verifier_s=600.0, verifiers=("v",)))
    expected.heard("w", 1, 599.0)
    (notice,) = expected.notices(600.0)
    assert notice.verifier == "v"


def test_the_first_result_ends_that_nobody_was_heard() -> None:
    made = silence()
    assert told(made, 600.0) == [AlertKind.VERIFIER_SILENT]
    made.heard("v", 1, 601.0)
    assert told(made, 602.0) == [AlertKind.VERIFIER_BACK]


def test_after_a_restart_nothing_is_said_again() -> None:
    made = Silence(SETTINGS, ("verifier/v", "broker"), 0.0)
    assert told(made, 100.0) == []
    made.connected(101.0, connected=True)
    assert told(made, 102.0) == [AlertKind.BROKER_BACK]
    assert told(made, 5000.0) == []
    made.heard("v", 1, 5001.0)
    assert told(made, 5002.0) == [AlertKind.VERIFIER_BACK]


def test_a_flood_of_strangers_is_one_alert_in_a_while() -> None:
    made = silence()
    made.heard("v", 1, 0.0)
    for _ in range(10_000):
        made.refused("result-signature-invalid", "signed by a stranger")
    (notice,) = made.notices(1.0)
    assert (notice.kind, notice.count) == (AlertKind.RESULTS_UNVERIFIED, 10_000)
    assert "No verdict changed" in notice.summary
    made.mark_reported(notice, 1.0)
    made.refused("malformed", "bytes")
    assert told(made, 300.0) == []
    assert told(made, 301.0) == [AlertKind.RESULTS_UNVERIFIED]
