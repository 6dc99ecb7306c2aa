"""``verifier-worker audit``: reads audit logs."""

from runtime.command_line import Parsers
from verifier_worker.commands import audit_show, audit_verify


def add_to(parsers: Parsers) -> None:
    """Adds ``audit`` with its own commands."""
    kinds = parsers.add_parser("audit", help="read an audit log").add_subparsers(
        dest="audit", required=True, metavar="KIND"
    )
    audit_show.add_to(kinds)
    audit_verify.add_to(kinds)
