"""What an error about the settings names: the file, the field, and the environment variable that it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from attester_agent.__main__ import main
from runtime.keys import load_signing_key
from runtime.settings import load, naming
from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    timeout_s: float = 1.0
    tries: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s < 10:
            raise ConfigError(f"timeout_s: {self.timeout_s:g}, expected more than 0 and less than 10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    inner: Inner = field(default_factory=Inner)


@pytest.fixture(name="config")
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "x.toml"
    path.write_text("[inner]\ntimeout_s = 2.0\n")
    return path


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
def test_a_number_is_finite(config: Path, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    monkeypatch.setenv("ATTESTREAM_SOME_TOOL_INNER_TIMEOUT_S", number)
    with pytest.raises(ConfigError, match=r"inner.timeout_s \(from ATTESTREAM_SOME_TOOL_INNER_TIMEOUT_S\).*finite"):
        load(config, Outer, "some-tool")


def test_a_number_in_the_file_is_finite(config: Path) -> None:
    config.write_text("[inner]\ntimeout_s = nan\n")
    with pytest.raises(ConfigError, match=r"x.toml: inner.timeout_s: nan, expected a finite number"):
        load(config, Outer, "some-tool")


def test_what_is_out_of_range_names_the_variable_it_came_from(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTESTREAM_SOME_TOOL_INNER_TIMEOUT_S", "11")
    monkeypatch.setenv("ATTESTREAM_SOME_TOOL_INNER_TRIES", "2")
    with pytest.raises(ConfigError) as refused:
        load(config, Outer, "some-tool")
    assert "x.toml: inner.timeout_s: 11, expected" in refused.value.detail
    assert refused.value.detail.endswith("(inner.timeout_s from ATTESTREAM_SOME_TOOL_INNER_TIMEOUT_S)")


def test_the_agents_variables_begin_with_its_commands_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.toml"
    path.write_text('state = "agent.db"\n[trust]\ndistributor_keys = ["d.pub"]\ntsa_roots = ["t.pem"]\n')
    monkeypatch.setenv("ATTESTREAM_ATTESTER_AGENT_TPM_TCTI", "smoke-signals")
    assert main(["run", "--config", str(path), "--check-config"]) == 2
    message = capsys.readouterr().err
    assert "tpm.tcti: 'smoke-signals'" in message
    assert "ATTESTREAM_ATTESTER_AGENT_TPM_TCTI" in message


def test_a_key_that_is_none_says_where_it_is_named_and_how_to_make_one(config: Path) -> None:
    with pytest.raises(ConfigError) as refused, naming("v.toml"), naming("signing_key"):
        load_signing_key(config, made_by="verifier-worker keygen")
    assert refused.value.detail == (
        f"v.toml: signing_key: {config}: not an unencrypted PEM private key; make one with verifier-worker keygen"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    numbers: tuple[int, ...]
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    one: tuple[int, ...] | Range = ()
    named: Mapping[str, tuple[int, ...] | Range] = field(default_factory=dict)
    maybe: Range | None = None


def test_a_field_may_be_a_list_or_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.toml"
    path.write_text("one = [1]\n[named]\na = [2]\nb = { numbers = [3], marked = true }\n[maybe]\nnumbers = []\n")
    made = load(path, Either, "some-tool")
    assert made == Either(one=(1,), named={"a": (2,), "b": Range(numbers=(3,), marked=True)}, maybe=Range(numbers=()))
    path.write_text("one = { numbers = [1] }\n")
    assert load(path, Either, "some-tool").one == Range(numbers=(1,))
    monkeypatch.setenv("ATTESTREAM_SOME_TOOL_ONE", "4,5")
    assert load(path, Either, "some-tool").one == (4, 5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("one = 1", "one: expected a list"),
        ("one = { marked = true }", "one.numbers: missing, expected a list of an integer"),
        ("named = { a = { numbers = [1], other = 1 } }", "named.a.other: unknown key"),
        ("named = { a = true }", "named.a: expected a list"),
    ],
)
def test_what_is_neither_the_list_nor_the_table_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(path, Either, "some-tool")
    assert told in refused.value.detail
