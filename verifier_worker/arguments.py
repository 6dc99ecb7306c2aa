"""The command line of ``verifier-worker``."""

import argparse
from pathlib import Path

from verifier_worker.adapters.loaded_files import ROLE
from verifier_worker.commands import audit_verify as audit_verify_command
from verifier_worker.commands import policy as policy_commands
from verifier_worker.commands.keys import add_key_commands
from verifier_worker.core.decision import BUILD

_EXAMPLE = """\
A newcomer's order:
  verifier-worker keygen --out verifier.key        makes verifier.key, verifier.pub and verifier.jwks
  verifier-worker keygen --audit --out audit.key   makes audit.key and audit.vkey
  verifier-worker check-policy policy.toml
  verifier-worker appraise --config verifier.toml --policy new.toml --evidence state/audit
  verifier-worker run --config verifier.toml --check-config
  verifier-worker run --config verifier.toml
"""


def parser() -> argparse.ArgumentParser:
    """All sub-commands and their options."""
    top = argparse.ArgumentParser(
        prog=ROLE,
        description="Verifies attesters' evidence as it arrives and publishes signed attestation results.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=BUILD)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run until SIGTERM or Ctrl-C")
    run.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML settings of this worker")
    run.add_argument("--check-config", action="store_true", help="read settings, keys and policy, then exit")
    add_key_commands(commands)
    policy = commands.add_parser("check-policy", help="read an appraisal policy and say what is wrong with it")
    policy.add_argument("policy", type=Path, metavar="FILE")
    commands.add_parser("policy-facts", help="list what a policy's rules can ask about")
    appraise = commands.add_parser("appraise", help="try a policy on recorded evidence; nothing is published")
    policy_commands.add_arguments(appraise)
    audit = commands.add_parser("audit", help="read an audit log")
    kinds = audit.add_subparsers(dest="audit", required=True, metavar="KIND")
    show = kinds.add_parser("show", help="print it, one entry a line")
    show.add_argument("log", metavar="LOG", help="folder or URL of a log, or the file of an earlier version")
    audit_verify_command.add_to(kinds)
    commands.add_parser("show-log", help="print a boot log, one event a line").add_argument("boot_log", type=Path)
    return top
