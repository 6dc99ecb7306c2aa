"""The audit log of a recorded verifier, and its times recomputed from it."""

from relying_party.audit.time_audit import Believed, Row, audit_times
from runtime.audit_log.any_log import read_entries
from tests.worlds.verifier import Verifying

Entries = list[tuple[int, bytes]]


DRIFT_PPM = 150_000


def entries(verifying: Verifying) -> Entries:
    return list(read_entries(verifying.audit_file))


def audited(verifying: Verifying, log: Entries, *, drift_ppm: int = DRIFT_PPM) -> list[Row]:
    believed = Believed(
        distributors=verifying.mint.keys,
        stamps=verifying.stamps,
        endorsers=verifying.endorsers,
        drift_ppm=drift_ppm,
    )
    return audit_times(log, believed)


def bad(rows: list[Row]) -> list[tuple[int, str]]:
    return [(row.index, problem) for row in rows for problem in row.problems]
