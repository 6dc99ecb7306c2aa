"""The error of a demonstration."""


class DemoError(Exception):
    """Something that the demonstration needs did not work; the message is for the person who runs it."""
