"""Text from outside as a terminal may show it."""


def printable(text: object) -> str:
    """Escapes all characters that are not printable: none is left that moves the cursor, colours or breaks a line."""
    shown = str(text)
    return shown if shown.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
