"""The table of reasons: one row a code. Everything that depends on a code is derived from its row."""

from collections.abc import Mapping
from typing import Final

from schemas.reasons.appraisal import APPRAISAL
from schemas.reasons.audit import AUDIT
from schemas.reasons.enrolment import ENROLMENT
from schemas.reasons.evidence import EVIDENCE
from schemas.reasons.handles import HANDLES
from schemas.reasons.machine import MACHINE
from schemas.reasons.results import RESULTS
from schemas.reasons.row import ReasonRow

ALL_ROWS: Final = (*HANDLES, *RESULTS, *ENROLMENT, *EVIDENCE, *APPRAISAL, *MACHINE, *AUDIT)
# The keys are texts, so that the unknown code of a newer verifier can be looked up too.
REASONS: Final[Mapping[str, ReasonRow]] = {row.code: row for row in ALL_ROWS}
