"""What can go wrong in a demonstration."""


class DemoError(Exception):
    """Something the demonstration needs did not work; the message is for the person who runs it."""
