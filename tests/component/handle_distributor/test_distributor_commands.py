"""The distributor's command line: settings that are wrong are named before any work; handles are made and shown."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from handle_distributor.__main__ import main
from runtime.durable import sole_user
from tests.builders.token_forge import ForgedAuthority
from tests.programs.tsa import honest, misbehaving_tsa

AUTHORITY = ForgedAuthority.make()
CONFIG = """
name = "main"
signing_key = "hd.pem"
state_file = "state/last-handle"
interval_s = 60
lifetime_s = 300

[tsa]
urls = ["URL"]
roots = ["tsa-root.pem"]
"""


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The command sends logs to the standard error of its test; the next test has another."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture(name="config")
def config_file(tmp_path: Path) -> Iterator[Path]:
    """A working configuration on an honest TSA."""
    (tmp_path / "tsa-root.pem").write_bytes(AUTHORITY.root.pem)
    assert main(["keygen", "--out", str(tmp_path / "hd.pem")]) == 0
    with misbehaving_tsa(honest(AUTHORITY)) as url:
        path = tmp_path / "hd.toml"
        path.write_text(CONFIG.replace("URL", url))
        yield path


def check(path: Path) -> int:
    return main(["run", "--config", str(path), "--check-config"])


def test_a_right_configuration_passes_and_leaves_no_trace(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(config) == 0
    assert f"{config}: settings, keys and certificates are fine\n" in capsys.readouterr().out
    assert not (config.parent / "state").exists()


@pytest.mark.parametrize("command", [["run"], ["issue-once", "--out", "OUT"]])
def test_one_chain_has_one_process(config: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    out = config.parent / "h"
    (config.parent / "state").mkdir()
    words = [str(out) if word == "OUT" else word for word in command]
    with sole_user(config.parent / "state" / "last-handle", "state_file"):
        assert main([*words, "--config", str(config)]) == 2
    message = capsys.readouterr().err
    assert "state_file: " in message
    assert "last-handle: in use by another process" in message
    assert not out.exists()


def test_no_handle_is_made_that_cannot_be_written(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = config.parent / "none" / "h"
    assert main(["issue-once", "--config", str(config), "--out", str(out)]) == 2
    assert "--out: " in capsys.readouterr().err
    assert not (config.parent / "state").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "main"', 'name = "a/b"', ["name", "a/b"]),
        ('name = "main"', "", ["name", "missing"]),
        ("interval_s = 60", "interval_s = 0", ["interval_s"]),
        ("interval_s = 60", "interval = 60", ["interval", "unknown key", "interval_s"]),
        ("lifetime_s = 300", "lifetime_s = 60", ["lifetime_s", "interval_s"]),
        ("lifetime_s = 300", "lifetime_s = 9999999", ["lifetime_s", "2678400"]),
        ('urls = ["URL"]', "urls = []", ["tsa.urls", "at least one"]),
        ('urls = ["URL"]', 'urls = ["gopher://x/"]', ["tsa.urls", "gopher"]),
        ('urls = ["URL"]', 'urls = ["http://x/", "http://x/"]', ["tsa.urls", "twice"]),
        ('roots = ["tsa-root.pem"]', "roots = []", ["tsa.roots"]),
        ('roots = ["tsa-root.pem"]', 'roots = ["none.pem"]', ["tsa.roots", "none.pem", "No such file"]),
        ('roots = ["tsa-root.pem"]', 'roots = ["hd.toml"]', ["tsa.roots", "not PEM certificates"]),
        ('signing_key = "hd.pem"', 'signing_key = "hd.pub"', ["signing_key", "hd.pub"]),
        ('signing_key = "hd.pem"', 'signing_key = "none"', ["signing_key", "No such file"]),
        ('state_file = "state/last-handle"', 'state_file = "hd.pem/x"', ["state_file", "hd.pem"]),
        ('roots = ["tsa-root.pem"]', 'roots = ["tsa-root.pem"]\ntimeout_s = 0', ["tsa.timeout_s"]),
        ('roots = ["tsa-root.pem"]', 'roots = ["tsa-root.pem"]\ntimeout_s = 3600', ["tsa.timeout_s", "25"]),
        ('roots = ["tsa-root.pem"]', 'roots = ["tsa-root.pem"]\nmax_clock_offset_s = 0', ["tsa.max_clock_offset_s"]),
        ('roots = ["tsa-root.pem"]', 'roots = ["tsa-root.pem"]\nrequired_agreement = 2', ["tsa.required_agreement"]),
    ],
)
def test_a_wrong_setting_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: list[str]
) -> None:
    text = re.sub(r'urls = \["http.*"\]', 'urls = ["URL"]', config.read_text())
    assert old in text
    config.write_text(text.replace(old, new).replace("URL", "http://127.0.0.1:1/"))
    assert check(config) == 2
    message = capsys.readouterr().err
    assert [word for word in words if word not in message] == []


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path / "none.toml") == 2
    assert "none.toml" in capsys.readouterr().err


def test_handles_are_made_one_after_the_other_and_shown(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = config.parent
    for number in (1, 2):
        assert main(["issue-once", "--config", str(config), "--out", str(folder / f"{number}.handle")]) == 0
    capsys.readouterr()
    assert main(["show", str(folder / "1.handle"), "--config", str(config)]) == 0
    first = capsys.readouterr().out
    trust = ["--key", str(folder / "hd.pub"), "--tsa-root", str(folder / "tsa-root.pem")]
    assert main(["show", str(folder / "2.handle"), *trust]) == 0
    second = capsys.readouterr().out
    identifier = re.search(r"^id: +([0-9a-f]{64})$", first, re.MULTILINE)
    assert identifier is not None
    assert re.search(rf"^previous: +{identifier.group(1)}$", second, re.MULTILINE)
    assert "none: the first of its chain" in first
    assert re.search(r"^time: +20\d\d-.*Z ± 0\.5 s, by the TSA$", first, re.MULTILINE)
    assert re.search(r"^TSA: +CN=test TSA$", first, re.MULTILINE)


def test_nothing_is_shown_of_a_handle_that_does_not_verify(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = config.parent
    assert main(["issue-once", "--config", str(config), "--out", str(folder / "1.handle")]) == 0
    assert main(["keygen", "--out", str(folder / "other.pem")]) == 0
    capsys.readouterr()
    trust = ["--key", str(folder / "other.pub"), "--tsa-root", str(folder / "tsa-root.pem")]
    assert main(["show", str(folder / "1.handle"), *trust]) == 1
    assert main(["show", str(folder / "1.handle"), "--key", str(folder / "hd.pub")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "handle-signature-invalid" in captured.err
    assert "--tsa-root" in captured.err


def test_without_a_tsa_issue_once_fails(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(re.sub(r"http://127.0.0.1:\d+", "http://127.0.0.1:1", config.read_text()))
    assert main(["issue-once", "--config", str(config), "--out", str(config.parent / "1.handle")]) == 1
    assert not (config.parent / "1.handle").exists()
    assert "reason=tsa-unreachable" in capsys.readouterr().err


def test_a_key_is_never_overwritten(config: Path) -> None:
    before = (config.parent / "hd.pem").read_bytes()
    assert main(["keygen", "--out", str(config.parent / "hd.pem")]) == 2
    assert (config.parent / "hd.pem").read_bytes() == before


@pytest.mark.parametrize("command", [[], ["run"], ["issue-once"], ["export"], ["show"], ["keygen"]])
def test_help_teaches(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: handle-distributor" in capsys.readouterr().out
