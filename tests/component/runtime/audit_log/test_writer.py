"""The writer of an audit log, with its thread: what is refused at the start, and what never holds up appending."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from runtime.audit_log.any_log import read_entries
from runtime.audit_log.frames import FrameFile
from runtime.audit_log.settings import AuditSettings
from runtime.audit_log.signer import generate_audit_log_key, load_audit_log_key, load_note_key
from runtime.audit_log.writer import AuditPlace, AuditWriter
from schemas.errors import ConfigError
from schemas.tlog.checkpoint import verify_checkpoint
from tests.fakes.log_store import made_entries
from tests.programs.waiting import wait_until

ENTRIES = made_entries(30)


def place(folder: Path, **settings: object) -> AuditPlace:
    if not (folder / "audit.key").exists():
        generate_audit_log_key(folder / "audit.key", "log.example/a")
    given: dict[str, object] = {"signing_key": folder / "audit.key", "checkpoint_interval_s": 0.05, **settings}
    return AuditPlace(
        folder=folder / "log",
        settings=AuditSettings(**given),  # type: ignore[arg-type]  # fields by name
        made_by="keygen",
        tsa_roots=(),
    )


@pytest.fixture(name="writer")
def _writer(tmp_path: Path) -> Iterator[AuditWriter]:
    writer = AuditWriter(place(tmp_path))
    yield writer
    writer.close()


def metric(name: str) -> float | None:
    return REGISTRY.get_sample_value(f"attestream_audit_{name}")


def test_entries_are_readable_at_once_and_signed_soon(tmp_path: Path, writer: AuditWriter) -> None:
    writer.append(list(enumerate(ENTRIES[:10], 1)))
    assert [entry for _, entry in read_entries(tmp_path / "log")] == ENTRIES[:10]
    writer.start()
    wait_until((tmp_path / "log" / "checkpoint").is_file, "a checkpoint")
    writer.append(list(enumerate(ENTRIES, 1)))
    wait_until(lambda: metric("checkpoint_size") == 30, "a checkpoint of 30")
    key = load_note_key(str(tmp_path / "audit.vkey"))
    assert verify_checkpoint((tmp_path / "log" / "checkpoint").read_bytes(), key).size == 30
    assert [entry for _, entry in read_entries(tmp_path / "log")] == ENTRIES
    assert (metric("entries"), metric("unsequenced_entries")) == (30, 0)


def test_stopping_publishes_what_is_left(tmp_path: Path) -> None:
    writer = AuditWriter(place(tmp_path, checkpoint_interval_s=3600.0))
    writer.start()
    writer.append(list(enumerate(ENTRIES, 1)))
    writer.close()
    assert (tmp_path / "log" / "checkpoints" / "30").is_file()


def test_a_store_that_fails_holds_up_nothing(tmp_path: Path, writer: AuditWriter) -> None:
    (tmp_path / "log" / "tile").write_bytes(b"in the way")
    writer.start()
    writer.append(list(enumerate(ENTRIES, 1)))
    wait_until(
        lambda: bool(
            REGISTRY.get_sample_value(
                "attestream_audit_failures_total", {"step": "sequence", "reason": "store-unavailable"}
            )
        ),
        "a failure is counted",
    )
    assert [entry for _, entry in read_entries(tmp_path / "log")] == ENTRIES
    assert metric("unsequenced_entries") == 30
    (tmp_path / "log" / "tile").unlink()
    wait_until((tmp_path / "log" / "checkpoint").is_file, "tried again")


def test_one_writer(tmp_path: Path, writer: AuditWriter) -> None:
    with pytest.raises(ConfigError, match="in use by another process"):
        AuditWriter(place(tmp_path))


def test_a_log_of_an_earlier_version_is_not_written_to(tmp_path: Path) -> None:
    log = FrameFile(tmp_path / "log")
    log.append([(1, b"one")])
    log.close()
    with pytest.raises(ConfigError, match=r"audit_log: .*a single file, .* move it away"):
        AuditWriter(place(tmp_path))
    assert list(read_entries(tmp_path / "log")) == [(1, b"one")]


def test_another_key_does_not_go_on(tmp_path: Path) -> None:
    first = AuditWriter(place(tmp_path))
    first.append([(1, b"one")])
    first.start()
    first.close()
    for name in ("audit.key", "audit.vkey", "audit.signed"):
        (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match="not the audit log of this key and origin"):
        AuditWriter(place(tmp_path))


def test_keys_are_made_once_and_named(tmp_path: Path) -> None:
    public = generate_audit_log_key(tmp_path / "a.key")
    name = load_note_key(str(public)).name
    assert name.startswith("attestream.invalid/")
    assert load_note_key(public.read_text().strip()).name == name
    with pytest.raises(ConfigError, match="keys are never overwritten"):
        generate_audit_log_key(tmp_path / "a.key")
    with pytest.raises(ConfigError, match="key name"):
        generate_audit_log_key(tmp_path / "b.key", "with space")
    with pytest.raises(ConfigError, match="not an unencrypted PEM private key"):
        load_audit_log_key(public)
    other = generate_audit_log_key(tmp_path / "c.key")
    other.replace(public)
    with pytest.raises(ConfigError, match=r"not the verifier key of .*a\.key"):
        place_of_key(tmp_path / "a.key").signer()
    public.unlink()
    with pytest.raises(ConfigError, match=r"audit\.origin: missing"):
        place_of_key(tmp_path / "a.key").signer()


def place_of_key(key: Path) -> AuditPlace:
    return AuditPlace(
        folder=key.parent / "log", settings=AuditSettings(signing_key=key), made_by="keygen", tsa_roots=()
    )


def test_a_private_key_given_for_the_public_one_is_not_printed(tmp_path: Path) -> None:
    generate_audit_log_key(tmp_path / "audit.key")
    secret = (tmp_path / "audit.key").read_text().splitlines()[1]
    with pytest.raises(ConfigError, match=r"audit\.key: a private key; its verifier key is expected") as refused:
        load_note_key(str(tmp_path / "audit.key"))
    told = str(refused.value)
    assert not any(secret[start : start + 8] in told for start in range(0, len(secret), 8))
