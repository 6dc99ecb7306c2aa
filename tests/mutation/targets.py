"""Which modules are mutated, and which tests are asked about each.

Fast unit tests alone, so that a mutant costs less than a second.
"""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

_VERIFIER: Final = ("tests/unit/verifier_worker",)
_REPLAY: Final = ("tests/unit/schemas/replay", "tests/unit/schemas/ima", "tests/unit/schemas/cel")
_TPM: Final = ("tests/unit/schemas/tpm",)
_MESSAGES: Final = ("tests/unit/schemas/messages",)

# A module or a folder: the tests. A module has the row of its own path, else of the nearest folder above it.
TESTS: Final[dict[str, tuple[str, ...]]] = {
    "verifier_worker/core": _VERIFIER,
    "schemas/messages/endorsement.py": _MESSAGES,
    "schemas/messages/evidence.py": _MESSAGES,
    "schemas/messages/handle.py": _MESSAGES,
    "schemas/messages/handle_chain.py": _MESSAGES,
    "schemas/messages/reference_values.py": _MESSAGES,
    "schemas/reasons": ("tests/unit/schemas/reasons", "tests/unit/schemas/text"),
    "schemas/verdicts.py": ("tests/unit/schemas/test_verdicts.py",),
    "schemas/time_model.py": ("tests/unit/schemas/test_time_model.py",),
    "schemas/replay": _REPLAY,
    "schemas/tpm": _TPM,
    "schemas/codecs/cbor.py": ("tests/unit/schemas/codecs",),
    "schemas/codecs/cose.py": ("tests/unit/schemas/codecs",),
    "schemas/boot_log/facts.py": ("tests/unit/schemas/boot_log",),
    "schemas/cel/any_encoding.py": ("tests/unit/schemas/cel",),
    "schemas/cel/in_tlv.py": ("tests/unit/schemas/cel",),
    "schemas/cel/records.py": ("tests/unit/schemas/cel",),
    "schemas/ima/records.py": ("tests/unit/schemas/ima",),
    "schemas/ima/template.py": ("tests/unit/schemas/ima",),
    "schemas/token_bucket.py": ("tests/unit/schemas/test_token_bucket.py",),
    "schemas/topics.py": ("tests/unit/schemas/test_topics.py",),
}


def modules() -> dict[str, tuple[str, ...]]:
    """Every module of the table that has code, and its tests."""
    paths: set[str] = set()
    for row in TESTS:
        path = ROOT / row
        found = [path] if path.is_file() else path.rglob("*.py")
        paths.update(str(each.relative_to(ROOT)) for each in found if each.name != "__init__.py")
    return {path: _tests_of(path) for path in sorted(paths)}


def _tests_of(path: str) -> tuple[str, ...]:
    row = path
    while row not in TESTS:
        row = str(Path(row).parent)
    return TESTS[row]


def own_tests(path: str, tests: tuple[str, ...]) -> tuple[str, ...]:
    """The test files named after a module: asked first where each mutant costs an import of all tests."""
    name = Path(path).stem
    found = (each for folder in tests for each in (ROOT / folder).rglob(f"test_{name}*.py"))
    return tuple(sorted(str(each.relative_to(ROOT)) for each in found))


# Modules of the table without a complete run: survivors are to be killed or explained. The list may only get shorter.
NOT_YET: Final = (
    "verifier_worker/core/accounted.py",
    "verifier_worker/core/checks/appraisal.py",
    "verifier_worker/core/measured_files.py",
    "verifier_worker/core/policy/ima_demands.py",
    "verifier_worker/core/policy/policy_file.py",
    "verifier_worker/core/state.py",
    "verifier_worker/core/state_codec.py",
    "verifier_worker/core/step.py",
)
