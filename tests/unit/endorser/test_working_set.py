"""The working form of reference values: read, written, merged, compared; signed in parts and with an overlap."""

from pathlib import Path

import pytest

from endorser.__main__ import main
from endorser.core.working_set import WorkingSet, differences, merge, parse, render, subtract
from runtime.keys import load_public_keys
from schemas.errors import ConfigError
from schemas.hashes import SHA256, SHA384
from schemas.messages.reference_values import ReferenceValues, verify_reference_values

A, B, C = (bytes([each]) * 32 for each in (0xA0, 0xB0, 0xC0))
VALUES = WorkingSet(
    registers={SHA384: {0: frozenset({bytes(48)})}, SHA256: {7: frozenset({A, B}), 0: frozenset({C})}},
    files={A: "/usr/bin/true", B: "/usr/bin/true", C: "/etc/a file"},
)
TEXT = f"""\
# golden device
sha256 0 {C.hex()}
sha256 7 {A.hex()}
sha256 7 {B.hex()}
sha384 0 {bytes(48).hex()}
{C.hex()}  /etc/a file
{A.hex()}  /usr/bin/true
{B.hex()}  /usr/bin/true
"""


def test_the_text_is_sorted_and_reads_back() -> None:
    assert render(VALUES, ["golden device"]) == TEXT
    assert parse(TEXT, "x") == VALUES
    assert parse("\n".join(reversed(TEXT.splitlines())), "x") == VALUES


@pytest.mark.parametrize(
    "line",
    ["hello", "sha1 0 " + "00" * 20, "sha256 24 " + "00" * 32, "sha256 0 00", "00" * 20 + "  /bin/sh1", "md5 0 00"],
)
def test_a_wrong_line_is_named(line: str) -> None:
    with pytest.raises(ConfigError, match=r"golden\.txt, line 2"):
        parse(f"# one\n{line}\n", "golden.txt")


def test_a_path_cannot_be_another_line() -> None:
    odd = WorkingSet(files={A: "/tmp/a\nsha256 0 " + C.hex()})
    assert parse(render(odd), "x").registers == {}
    assert len(parse(render(odd), "x").files) == 1


def test_sets_are_merged_and_compared() -> None:
    before = WorkingSet(registers={SHA256: {0: frozenset({A}), 1: frozenset({A})}}, files={A: "/a", B: "/b"})
    after = WorkingSet(registers={SHA256: {0: frozenset({B}), 1: frozenset({A})}}, files={A: "/a", C: "/b", B: "/c"})
    assert differences(before, after) == [
        f"~ PCR sha256:00  {A.hex()} -> {B.hex()}",
        f"+ /b  {C.hex()}",
        "1 added, 0 removed, 1 changed",
    ]
    assert differences(after, WorkingSet())[-1] == "0 added, 5 removed, 0 changed"
    both = merge([before, after])
    assert both.registers == {SHA256: {0: frozenset({A, B}), 1: frozenset({A})}}
    assert both.files == {A: "/a", B: "/b", C: "/b"}
    assert subtract(both, before).registers == {SHA256: {0: frozenset({B})}}


@pytest.fixture(name="key")
def _key(tmp_path: Path) -> Path:
    assert main(["keygen", "--out", str(tmp_path / "endorser.key")]) == 0
    return tmp_path / "endorser.key"


def signed(path: Path, key: Path) -> ReferenceValues:
    return verify_reference_values(path.read_bytes(), load_public_keys([key.with_suffix(".pub")]))


def sign(key: Path, out: Path, text: str, *more: str) -> int:
    working = out.with_suffix(".txt")
    working.write_text(text)
    return main(
        ["reference-values", "sign", str(working), "--key", str(key), "--name", "golden", "--out", str(out), *more]
    )


def test_the_working_form_is_signed_and_comes_back(
    tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, back = tmp_path / "golden.corim", tmp_path / "back.txt"
    assert sign(key, out, TEXT, "--version", "3") == 0
    values = signed(out, key)
    assert (values.version, values.registers, values.files) == (3, VALUES.registers, VALUES.files)
    public = str(key.with_suffix(".pub"))
    assert main(["reference-values", "merge", str(out), "--endorser-key", public, "--out", str(back)]) == 0
    assert back.read_text().splitlines()[1:] == TEXT.splitlines()[1:]
    capsys.readouterr()
    assert main(["reference-values", "diff", str(out), str(back), "--endorser-key", public]) == 0
    assert capsys.readouterr().out == "0 added, 0 removed, 0 changed\n"
    assert main(["reference-values", "diff", str(out), str(back)]) == 2
    assert "--endorser-key" in capsys.readouterr().err


def test_an_overlap_is_what_the_version_before_had_besides(tmp_path: Path, key: Path) -> None:
    first, second = tmp_path / "1.corim", tmp_path / "2.corim"
    assert sign(key, first, f"sha256 0 {A.hex()}\n{A.hex()}  /a\n{B.hex()}  /b\n", "--version", "1") == 0
    previous = ("--previous", str(first), "--endorser-key", str(key.with_suffix(".pub")), "--overlap-days", "2")
    text = f"sha256 0 {C.hex()}\n{A.hex()}  /a\n{C.hex()}  /b\n"
    assert sign(key, second, text, "--version", "2", *previous) == 0
    values = signed(second, key)
    assert values.outgoing is not None
    assert values.outgoing.registers == {SHA256: {0: frozenset({A})}}
    assert values.outgoing.files == {B: "/b"}
    assert values.outgoing.until_s - values.not_before_s == pytest.approx(2 * 86_400, abs=600)
    assert sign(key, tmp_path / "3.corim", text, "--version", "1", *previous) == 2
    assert sign(key, tmp_path / "4.corim", text, "--version", "2", *previous[:-1], "0") == 2


def test_what_does_not_fit_is_split_into_named_sets(
    tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {number.to_bytes(32, "big"): f"/usr/bin/{number}" for number in range(1, 1001)}
    text = render(WorkingSet(registers=VALUES.registers, files=files))
    assert sign(key, tmp_path / "golden.corim", text, "--max-bytes", "20000") == 0
    assert 'reference_values = ["golden", "golden-2", ' in capsys.readouterr().out
    parts = sorted(tmp_path.glob("golden.corim*"))
    assert len(parts) > 2
    found: dict[bytes, str] = {}
    for part in parts:
        assert len(part.read_bytes()) <= 20_000
        found |= signed(part, key).files
    assert found == files
    assert sum(bool(signed(part, key).registers) for part in parts) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["sign", "/no/such", "--key", "x", "--name", "g", "--out", "x"], "/no/such"),
        (["from-logs", "--tcg2", "/no/such"], "/no/such"),
        (["from-logs", "--tcg2", __file__, "--pcrs", "sha1:0"], "sha1"),
        (["from-logs", "--tcg2", __file__], "log: "),
        (["from-packages", "--root", "/no/such"], "/no/such"),
        (["from-packages", "--deb", __file__], "not a Debian package"),
        (["from-attester", "?", "--evidence", "x", "--endorsement", "x", "--endorser-key", "x"], "--ueid"),
        ([], "--key"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference-values", *arguments]) == 2
    assert complaint in capsys.readouterr().err
