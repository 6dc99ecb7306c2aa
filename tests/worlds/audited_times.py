"""The audit log of a recorded verifier, and its times recomputed from it."""

from relying_party.audit.time_audit import Row, TimeAudit, TimeTrust
from runtime.audit_log.any_log import read_entries
from tests.worlds.verifier import Verifying

Entries = list[tuple[int, bytes]]


DRIFT_PPM = 150_000


def entries(verifying: Verifying) -> Entries:
    return list(read_entries(verifying.audit_file))


def audited(verifying: Verifying, log: Entries, *, drift_ppm: int = DRIFT_PPM) -> list[Row]:
    trust = TimeTrust(
        distributors=verifying.mint.keys,
        stamps=verifying.stamps,
        endorsers=verifying.endorsers,
        drift_ppm=drift_ppm,
    )
    audit = TimeAudit(trust)
    for number, raw in log:
        audit.read(number, raw)
    return audit.rows()


def bad(rows: list[Row]) -> list[tuple[int, str]]:
    return [(row.index, problem) for row in rows for problem in row.problems]
