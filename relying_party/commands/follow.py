"""Command lines of ``watch`` and ``results``: what to show, how, and until when."""

import argparse
import difflib
import threading

from relying_party.commands.check_and_submit import add_trust_options, settings_of
from relying_party.terminal.follow import results, watch
from relying_party.terminal.selection import Selection, SortKey
from relying_party.terminal.table import ResultFeed
from runtime.service import EXIT_OK, Stop
from schemas.errors import ConfigError
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier

_WATCH_EPILOG = """examples:
  relying-party watch --config relying-party.toml
  relying-party watch --verifier-key verifier.jwks --host broker.example --status contraindicated --status none
  relying-party watch --verifier-key verifier.jwks --search rack-7 --sort age
  relying-party watch --verifier-key verifier.jwks --plain --only-changes >> changes.log

Keys in the table: / search, s sort, f status, arrows and pages scroll, Escape everything, q quit."""
_RESULTS_EPILOG = """examples:
  relying-party results --config relying-party.toml --once --json | jq -r 'select(.status != "affirming") | .ueid'
  relying-party results --verifier-key verifier.jwks --json --reason file-unexpected
  relying-party results --verifier-key verifier.jwks --once --freshness stale

docs/terminal.md has the form of a line of JSON."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the commands."""
    table = _command(commands, "watch", "a live table of all attesters", _WATCH_EPILOG)
    table.add_argument("--plain", action="store_true", help="a line for each change instead of a table")
    table.set_defaults(execute=run_watch)
    lines = _command(commands, "results", "a line for each result", _RESULTS_EPILOG)
    lines.add_argument("--json", action="store_true", help="as JSON")
    lines.add_argument("--once", action="store_true", help="what the broker retains, then end")
    lines.set_defaults(execute=run_results)


def run_watch(options: argparse.Namespace) -> int:
    """Runs ``watch``; returns the exit status."""
    settings, selection = settings_of(options), _selection(options)
    if options.check_config:
        ResultFeed(settings)
        return EXIT_OK
    return watch(settings, _stop(options), selection, plain=options.plain, only_changes=options.only_changes)


def run_results(options: argparse.Namespace) -> int:
    """Runs ``results``; returns the exit status."""
    settings, selection = settings_of(options), _selection(options)
    if options.check_config:
        ResultFeed(settings)
        return EXIT_OK
    return results(
        settings,
        _stop(options),
        selection,
        as_json=options.json,
        once=options.once,
        only_changes=options.only_changes,
    )


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, epilog: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=text, description=text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shown = command.add_argument_group("what to show")
    shown.add_argument("--status", action="append", default=[], choices=list(map(str, Tier)), help="may be repeated")
    shown.add_argument(
        "--freshness", action="append", default=[], choices=list(map(str, Freshness)), help="may be repeated"
    )
    shown.add_argument("--reason", action="append", default=[], metavar="CODE", help="may be repeated")
    shown.add_argument("--search", default="", metavar="TEXT", help="in label, UEID, policies, unexpected paths")
    shown.add_argument("--sort", default=SortKey.NAME.value, choices=list(map(str, SortKey)), help="of a table")
    shown.add_argument("--only-changes", action="store_true", help="nothing of attesters that stay as they were found")
    add_trust_options(command, broker=True)
    command.add_argument("--seconds", type=float, metavar="S", help="stop by itself after that time")
    command.add_argument("--check-config", action="store_true", help="read the settings, then stop")
    return command


def _selection(options: argparse.Namespace) -> Selection:
    for reason in options.reason:
        if reason not in map(str, Reason):  # misspelt, it would match nothing, and look like good news
            near = difflib.get_close_matches(reason, list(map(str, Reason)), n=1)
            hint = f"; did you mean {near[0]}?" if near else "; docs/threat-model.md has them all"
            raise ConfigError(f"--reason: there is no {reason!r}{hint}")
    return Selection(
        statuses=frozenset(map(Tier, options.status)),
        freshness=frozenset(map(Freshness, options.freshness)),
        reasons=frozenset(options.reason),
        text=options.search,
        sort=SortKey(options.sort),
    )


def _stop(options: argparse.Namespace) -> Stop:
    if options.seconds is not None and not 0 < options.seconds <= threading.TIMEOUT_MAX:
        raise ConfigError(f"--seconds: {options.seconds:g}, expected more than 0")
    stop = Stop().on_signals()
    if options.seconds is not None:
        timer = threading.Timer(options.seconds, stop.request)
        timer.daemon = True
        timer.start()
    return stop
