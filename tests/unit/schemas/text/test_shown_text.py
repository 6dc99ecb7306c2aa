"""What devices and logs call themselves must not move the cursor, hide a line or begin one of its own."""

import pytest

from schemas.boot_log.uefi_text import shown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("/tmp/x\nPROVEN, YES", "/tmp/x\\nPROVEN, YES"),
        ("a\rb", "a\\rb"),
        ("\x1b[8mhidden", "\\x1b[8mhidden"),
        ("\x9b8m", "\\x9b8m"),
        ("exe\u202etxt", "exe\\u202etxt"),
        ("a\u2028b", "a\\u2028b"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, escaped: str) -> None:
    assert shown(text) == escaped
    assert shown(text).isprintable()


def test_what_is_printable_stays_as_it_is() -> None:
    assert shown("/usr/bin/größe – 検証") == "/usr/bin/größe – 検証"
