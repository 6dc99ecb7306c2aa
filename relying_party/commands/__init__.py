"""The commands of ``relying-party``, a module for each.

``watch``, ``results`` and ``show`` follow results; ``check`` and ``submit`` verify one; ``alerts`` and ``dashboard``
run as services; ``dashboard_user`` keeps the dashboard's users; ``audit`` is a folder of commands about audit logs.
Options that several commands have are in ``trust_options`` (keys and broker), ``selection_options`` (the attesters to
show) and ``expectation_options`` (the demands on one result).
"""

from typing import Final

from relying_party.commands import alerts, audit, check, dashboard, dashboard_user, results, show, submit, watch
from relying_party.settings import ROLE
from runtime.command_line import Program

PROGRAM: Final = Program(
    name=ROLE,
    description="Follow attestation results, verify one, be alerted, audit how they came about.",
    commands=(watch, results, show, check, submit, alerts, audit, dashboard, dashboard_user),
)
