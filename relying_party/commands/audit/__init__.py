"""``relying-party audit``: a module for each command about an audit log.

``prove`` writes a proof and ``check`` checks one; ``times`` recomputes when each quote was made; ``fsck`` checks a
whole audit log; ``consistency`` proves that one checkpoint extends another; ``witness`` adds cosignatures; ``record``
writes an audit log.
"""

from typing import TYPE_CHECKING, Final

from relying_party.commands.audit import check, consistency, fsck, prove, record, times, witness

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_COMMANDS: Final = (prove, check, times, fsck, consistency, witness, record)


def add_to(parsers: "Parsers") -> None:
    """Adds the command and its sub-commands."""
    command = parsers.add_parser("audit", help="record, check and prove the results of verifiers, and recompute them")
    kinds = command.add_subparsers(dest="audit", required=True)
    for each in _COMMANDS:
        each.add_to(kinds)
