"""``verifier-worker audit``: a module for each command about an audit log.

``show`` prints a log; ``verify`` derives its results again.
"""

from runtime.command_line import Parsers
from verifier_worker.commands.audit import show, verify


def add_to(parsers: Parsers) -> None:
    """Adds the command and its sub-commands."""
    command = parsers.add_parser("audit", help="read an audit log")
    kinds = command.add_subparsers(dest="audit", required=True, metavar="KIND")
    show.add_to(kinds)
    verify.add_to(kinds)
