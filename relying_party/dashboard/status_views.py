"""How the dashboard itself and the other processes are, as JSON: the broker, what was refused and why, who is there."""

from typing import Final

from relying_party.dashboard.feed import Feed

BEHIND_MESSAGES: Final = 500  # that wait to be verified: then what is shown is not what is


def state_of(feed: Feed) -> dict[str, object]:
    """What every page shows all the time; small, and sent again when it changes."""
    fleet = feed.fleet
    return {
        "broker": feed.broker,
        "connected": feed.is_connected,
        "attesters": len(fleet),
        "behind": feed.backlog if feed.backlog >= BEHIND_MESSAGES else 0,
        "results": fleet.results > 0,
        "refused": sum(fleet.refused.values()),
        "refused_codes": dict(fleet.refused),
        "refused_why": "" if fleet.results else fleet.refused_why,  # may quote a stranger: no more than is needed
        "believed": sorted(key_id.hex() for key_id in feed.keys),
        "handles": feed.handles.revision,
        "processes": [
            [each.status.role, each.status.name, each.status.online, each.status.version, each.since_s]
            for each in feed.processes.values()
        ],
        "point": fleet.timeline.newest(),
    }
