"""The state of the dashboard and of the other processes, as JSON."""

from typing import Final

from relying_party.dashboard.feed import Feed

BEHIND_MESSAGES: Final = 500  # from this many unverified messages on, the page warns that it is out of date


def state_of(feed: Feed) -> dict[str, object]:
    """The state that every page shows all the time; small, and sent again when it changes."""
    fleet = feed.fleet
    return {
        "broker": feed.broker,
        "connected": feed.is_connected,
        "attesters": len(fleet),
        "behind": feed.backlog if feed.backlog >= BEHIND_MESSAGES else 0,
        "results": fleet.results > 0,
        "refused": sum(fleet.refused.values()),
        "refused_codes": dict(fleet.refused),
        "refused_why": "" if fleet.results else fleet.refused_why,  # may quote a stranger, so only while it is needed
        "believed": sorted(key_id.hex() for key_id in feed.keys),
        "handles": feed.handles.revision,
        "processes": [
            [each.status.role, each.status.name, each.status.online, each.status.version, each.since_s]
            for each in feed.processes.values()
        ],
        "point": fleet.timeline.newest(),
    }
