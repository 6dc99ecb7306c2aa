"""``./run attack``: makes every attack of the catalogue against the product; status 0 only if all of them are held."""

import argparse
import sys
from collections.abc import Sequence

from tests.attacks.attempt import Attempt, Outcome, attempt
from tests.attacks.catalogue import Layer, chosen
from tests.attacks.table import Table, as_json, summary

_NOT_HELD = 1
_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the chosen attacks; 0 all are held, 1 one is not, 2 there is no such attack."""
    options = _parser().parse_args(arguments)
    attacks = [each for each in chosen(options.name) if options.layer in {None, each.layer.value}]
    if not attacks:
        sys.stderr.write("no attack has such a name; --list shows all\n")
        return _USAGE
    table = Table()
    if options.list:
        for each in attacks:
            table.plan(each)
        print(f"\n{len(attacks)} attacks")
        return 0
    made: list[Attempt] = []
    for number, each in enumerate(attacks, 1):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{number}/{len(attacks)} {each.name[:90]:<90}\r")
        made.append(attempt(each))
        if not options.json:
            table.show(made[-1])
        if made[-1].outcome not in {Outcome.HELD, Outcome.SKIPPED} and not options.keep_going:
            break
    held = len(made) == len(attacks) and all(each.outcome is Outcome.HELD for each in made)
    print(as_json(made) if options.json else f"\n{summary(made)}")
    return 0 if held else _NOT_HELD


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run attack", description=__doc__)
    parser.add_argument("name", nargs="*", help="a part of a name, or a pattern: root/*, hibernation (all attacks)")
    parser.add_argument("--list", action="store_true", help="show the attacks and the right answers, make none")
    parser.add_argument("--json", action="store_true", help="print one JSON list at the end instead of the table")
    parser.add_argument("--keep-going", action="store_true", help="go on after an attack that is not held")
    parser.add_argument("--layer", choices=[each.value for each in Layer], help="only attacks of this layer of tests")
    return parser


if __name__ == "__main__":
    sys.exit(main())
