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
def test_what_is_not_printable_is_escaped(text: str, escaped: str) -> None:
    assert printable(text) == escaped
    assert printable(text).isprintable()


def test_what_is_printable_stays_as_it_is() -> None:
    assert printable("/usr/bin/größe – 検証") == "/usr/bin/größe – 検証"


def test_what_is_no_text_is_shown_as_one() -> None:
    assert printable(3) == "3"
