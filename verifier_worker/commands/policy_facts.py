"""``verifier-worker policy-facts``: lists the facts that a policy's rules can use."""

import argparse

from runtime.command_line import Parsers
from verifier_worker.core.policy.cel_rules import FACTS


def add_to(parsers: Parsers) -> None:
    """Adds ``policy-facts``."""
    parsers.add_parser("policy-facts", help="list the facts that a policy's rules can use").set_defaults(run=run)


def run(_arguments: argparse.Namespace) -> None:
    """Prints one line a fact: name, type, meaning."""
    width = max(map(len, FACTS))
    for name, (kind, meaning) in FACTS.items():
        print(f"{name:<{width}}  {kind.name().lower():<18} {meaning}")
