"""The command line of every program: one module for each command, one place that makes failures exit statuses.

A command is a module ``<service>/commands/<verb>.py`` with two functions. ``add_to(parsers)`` adds the sub-command and
its options and calls ``set_defaults(run=run)``. ``run(arguments)`` does the work and returns an exit status; None is 0.
A command that streams adds ``streams=True``: a reader that has seen enough is its usual end, and no failure.
A command with sub-commands of its own calls their ``add_to``. ``<service>/commands/__init__.py`` lists the modules in
a :class:`Program`, and ``__main__`` calls :meth:`Program.main`.
"""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from runtime.service import installed_version
from schemas.errors import AttestreamError, ConfigError

Parsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 no public name

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
EXIT_CLOSED_PIPE: Final = 141  # 128 + SIGPIPE: a verdict that nobody read is not a success
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Command(Protocol):
    """A module of ``commands``."""

    @property
    def add_to(self) -> Callable[[Parsers], None]:
        """Adds the sub-command and its options; sets ``run``, the function that takes the parsed arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One command line.

    Attributes:
        name: the name of the command: ``endorser``.
        description: one sentence for ``--help``.
        commands: modules, in the order of ``--help``.
        epilog: examples for the end of ``--help``, printed verbatim.
    """

    name: str
    description: str
    commands: Sequence[Command]
    epilog: str | None = None

    def parser(self) -> argparse.ArgumentParser:
        """All sub-commands and their options."""
        top = argparse.ArgumentParser(
            prog=self.name,
            description=self.description,
            epilog=self.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        top.add_argument("--version", action="version", version=f"{self.name} {installed_version()}")
        parsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
        for command in self.commands:
            command.add_to(parsers)
        return top

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Runs one command; returns the exit status.

        Args:
            arguments: the words of the command line; None for this process's own.
        """

        def command() -> int | None:
            options = self.parser().parse_args(arguments)
            run: Callable[[argparse.Namespace], int | None] = options.run
            try:
                status = run(options)
                sys.stdout.flush()
            except BrokenPipeError:
                if not getattr(options, "streams", False):
                    raise
                _discard_output()
                return EXIT_OK
            return status

        return exit_status(command)


def exit_status(command: Callable[[], int | None]) -> int:
    """Runs ``command``; an expected failure becomes a line on standard error and an exit status.

    Returns:
        The status that ``command`` returned (0 for None); 2 for a ``ConfigError``; 1 for any other expected error and
        for a full disk; 130 for Ctrl-C; 141 when the reader of standard output has gone. An unexpected exception passes
        through: it is a bug, and its whole traceback should be seen.
    """
    try:
        status = command() or EXIT_OK
        sys.stdout.flush()
    except ConfigError as error:
        return _failed(f"configuration error: {error.detail}", EXIT_CONFIG)
    except AttestreamError as error:
        return _failed(f"error: {error}", EXIT_FAILED)
    except BrokenPipeError:
        _discard_output()
        return EXIT_CLOSED_PIPE
    except KeyboardInterrupt:  # only in a command without a :class:`runtime.service.Stop`
        return _failed("stopped", EXIT_INTERRUPTED)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _discard_output()
        where = f" ({error.filename})" if error.filename else ""
        return _failed(f"error: no space left on the disk{where}; free some, then try again", EXIT_FAILED)
    return status


def _failed(line: str, status: int) -> int:
    print(line, file=sys.stderr)
    return status


def _discard_output() -> None:
    """Drops buffered output that cannot be written. Otherwise the interpreter tries again at exit and complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
