"""The enumeration of reason codes, the threat model and the code agree."""

import re
from pathlib import Path

from schemas.reasons import Reason

ROOT = Path(__file__).resolve().parents[2]
THREAT_MODEL = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
CODE = re.compile(r"`([a-z]+(?:-[a-z0-9]+)+|malformed|rebooted|resumed)`")


def test_the_threat_model_names_every_code() -> None:
    named = set(CODE.findall(THREAT_MODEL))
    assert {reason.value for reason in Reason} - named == set()


def test_the_threat_model_invents_no_code() -> None:
    in_tables = {
        code
        for line in THREAT_MODEL.splitlines()
        if line.startswith("|")
        for code in CODE.findall(line.split("|")[3] if line.count("|") > 4 else "")
    }
    assert in_tables - {reason.value for reason in Reason} == set()


def test_every_code_is_used_somewhere() -> None:
    source = "\n".join(
        path.read_text("utf-8")
        for package in (
            "schemas",
            "runtime",
            "handle_distributor",
            "attester_agent",
            "verifier_worker",
            "relying_party",
            "endorser",
        )
        for path in (ROOT / package).rglob("*.py")
        if "schemas/reasons" not in path.as_posix()
    )
    unused = {reason.name for reason in Reason if f"Reason.{reason.name}" not in source}
    assert unused == set()
