"""The commands of ``attester-agent``, one module each."""

from typing import Final

from attester_agent.commands import claims, doctor, enrol, measure, passport, provision, run, show
from attester_agent.settings import COMMAND
from runtime.command_line import Program

PROGRAM: Final = Program(
    name=COMMAND,
    description="Pushes TPM evidence of this device.",
    commands=(run, provision, enrol, claims, measure, doctor, passport, show),
)
