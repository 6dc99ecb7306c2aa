"""The commands of ``verifier-worker``, a module for each.

``run`` is the service; ``keygen`` and ``jwks`` make keys; ``check_policy``, ``policy_facts`` and ``appraise`` are a
policy author's tools; ``audit`` is a folder of commands about audit logs; ``show_log`` prints a boot log.
"""

from typing import Final

from runtime.command_line import Program
from verifier_worker.adapters.loaded_files import ROLE
from verifier_worker.commands import appraise, audit, check_policy, jwks, keygen, policy_facts, run, show_log

PROGRAM: Final = Program(
    name=ROLE,
    description="Verifies attesters' evidence as it arrives and publishes signed attestation results.",
    epilog="""\
A newcomer's order:
  verifier-worker keygen --out verifier.key        makes verifier.key, verifier.pub and verifier.jwks
  verifier-worker keygen --audit --out audit.key   makes audit.key and audit.vkey
  verifier-worker check-policy policy.toml
  verifier-worker appraise --config verifier.toml --policy new.toml --evidence state/audit
  verifier-worker run --config verifier.toml --check-config
  verifier-worker run --config verifier.toml
""",
    commands=(run, keygen, jwks, check_policy, policy_facts, appraise, audit, show_log),
)
