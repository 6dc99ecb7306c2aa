"""An audit log in an S3-compatible store: written, read, checked; two writers do not fork it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relying_party.__main__ import main
from runtime.audit_log.any_log import read_entries
from runtime.audit_log.log_reader import AuditLogReader
from runtime.audit_log.object_store import ObjectStore, open_store
from runtime.audit_log.settings import AuditSettings
from runtime.audit_log.signer import generate_audit_log_key
from runtime.audit_log.writer import AuditPlace, AuditWriter
from schemas.errors import ConfigError, WorldError
from tests.fakes.log_store import made_entries
from tests.programs.s3 import running_s3
from tests.programs.waiting import wait_until

BUCKET = "audit-logs"
URL = f"s3://{BUCKET}/fleet/v1"
ENTRIES = made_entries(300, large=(7,))
OPTIONS = {"region": "us-east-1", "allow_http": "true"}


@pytest.fixture(scope="module", name="endpoint")
def _endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_s3(tmp_path_factory.mktemp("s3"), BUCKET) as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "example",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


def place(folder: Path, url: str) -> AuditPlace:
    folder.mkdir(exist_ok=True)
    if not (folder / "audit.key").exists():
        generate_audit_log_key(folder / "audit.key", "log.example/audit")
    settings = AuditSettings(
        signing_key=folder / "audit.key", store=url, store_options=OPTIONS, checkpoint_interval_s=0.05
    )
    return AuditPlace(folder=folder / "journal-only", settings=settings, made_by="keygen", tsa_roots=())


def test_a_log_in_an_object_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = place(tmp_path, URL)
    for first, end in ((0, 10), (10, 300)):
        writer = AuditWriter(where)
        reader = AuditLogReader(where.store())
        writer.start()
        writer.append(list(enumerate(ENTRIES, 1))[first:end])
        wait_until(lambda reader=reader, end=end: reader.unverified_size() == end, f"a checkpoint of {end}")  # type: ignore[misc]  # mypy does not infer defaults
        writer.close()
    assert [path.name for path in (tmp_path / "journal-only").iterdir() if path.is_dir()] == ["journal"]
    assert list(read_entries(URL)) == list(enumerate(ENTRIES))
    key = str(tmp_path / "audit.vkey")
    assert main(["audit", "fsck", URL, "--log-key", key]) == 0
    assert "300 entries" in capsys.readouterr().out
    assert main(["audit", "consistency", URL, "--log-key", key, "--from", "10"]) == 0


def test_two_writers_with_one_key_do_not_fork_the_log(tmp_path: Path) -> None:
    url = f"{URL}/two"
    first = place(tmp_path / "one", url)
    second = place(tmp_path / "two", url)
    for name in ("audit.key", "audit.vkey"):
        (tmp_path / "two" / name).write_bytes((tmp_path / "one" / name).read_bytes())
    one, two = AuditWriter(first), AuditWriter(second)
    one.append([(1, b"one")])
    two.append([(1, b"two")])
    one.start()
    one.close()
    two.start()
    two.close()
    reader = AuditLogReader(first.store())
    assert reader.checkpoint() == reader.checkpoint_at(1)
    with pytest.raises(ConfigError, match="differs between the journal"):
        AuditWriter(second)


def test_a_swap_needs_what_was_there(endpoint: str) -> None:
    store = ObjectStore(f"{URL}/swap", OPTIONS)
    assert store.swap("checkpoint", b"one", None)
    assert not store.swap("checkpoint", b"two", None)
    assert not store.swap("checkpoint", b"two", b"other")
    assert store.swap("checkpoint", b"two", b"one")
    assert store.read("checkpoint", max_bytes=10) == b"two"
    with pytest.raises(WorldError, match="larger than 2 bytes"):
        store.read("checkpoint", max_bytes=2)
    store.remove("checkpoint")
    store.remove("checkpoint")
    assert store.read("checkpoint", max_bytes=10) is None
    assert list(store.list("nothing")) == []


def test_a_store_that_does_not_answer_is_the_world_s_fault(tmp_path: Path) -> None:
    store = ObjectStore("s3://nobody/x", {**OPTIONS, "endpoint": "http://127.0.0.1:9"})
    with pytest.raises(WorldError, match="store-unavailable"):
        store.read("checkpoint", max_bytes=10)
    with pytest.raises(ConfigError, match=r"audit\.store: s3://b/p: "):
        ObjectStore("s3://b/p", {"no_such_option": "1"})
    with pytest.raises(ConfigError, match="expected s3://"):
        ObjectStore("gs://b/p", {})
    with pytest.raises(ConfigError, match="there is no such folder"):
        open_store(str(tmp_path / "none"))
