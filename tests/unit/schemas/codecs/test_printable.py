"""Names that devices and logs give themselves cannot move the cursor, hide a line or begin another."""

import pytest

from schemas.codecs.printable import printable


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
def test_unprintable_characters_are_escaped(text: str, escaped: str) -> None:
    assert printable(text) == escaped
    assert printable(text).isprintable()


def test_printable_text_does_not_change() -> None:
    assert printable("/usr/bin/größe – 検証") == "/usr/bin/größe – 検証"


def test_a_number_becomes_text() -> None:
    assert printable(3) == "3"
