"""Anyone who can flood the alert service with messages still cannot hide that an attester has gone silent."""

from pathlib import Path
from typing import Any

import pytest

from relying_party.alerts.service import AlertService, Runners
from relying_party.alerts.settings import ROLE, AlertSettings
from relying_party.alerts.store import AlertStore
from runtime import settings as settings_files
from runtime.clock import utc_s
from runtime.mqtt import Message
from schemas.messages.alert import Condition
from schemas.topics import Role, Topics
from tests.programs.alert_rig import AlertRig, webhook

RULE = '[[rules]]\nname = "all"\nhold_s = 0.0\n'


class Subscribed:
    """A connection that is up."""

    def wait_subscribed(self, _seconds: float) -> bool:
        return True


@pytest.mark.parametrize("flooded", [False, True])
@pytest.mark.parametrize(("ago_s", "up_s", "told_in_a_flood"), [(120, 600, True), (5, 600, False), (120, 30, False)])
def test_a_flood_puts_an_expiry_off_and_no_more(
    tmp_path: Path, *, flooded: bool, ago_s: int, up_s: int, told_in_a_flood: bool
) -> None:
    rig = AlertRig(tmp_path, 1, tables=RULE + webhook("ops", "http://127.0.0.1:1/"))
    settings = settings_files.load(rig.config, AlertSettings, ROLE)
    store = AlertStore(settings.database)
    service: Any = AlertService(settings, store)
    service._connection = Subscribed()
    service._silence.connected(service._silence._up_since_s, connected=True)
    service._silence._up_since_s -= up_s
    topic, payload = rig.result(issued_s=utc_s() - 600, expires_s=utc_s() - ago_s)
    service._take_result(Message(topic=topic, payload=payload, retained=False, packet_id=1, connection=1))
    if flooded:
        topic = Topics().status(Role.ATTESTER, "x")
        service._inbox.put(Message(topic=topic, payload=b"\xff", retained=False, packet_id=2, connection=1))
    service.tick(Runners(settings))
    told = [each.condition for each in (row.headline for row in store.reported())]
    store.close()
    assert told == ([Condition.STALE] if told_in_a_flood or not flooded else [])
