"""The command line of ``handle-distributor``: one module for each command."""

from typing import Final

from handle_distributor.commands import export, issue_once, keygen, run, show
from handle_distributor.settings import ROLE
from runtime.command_line import Program

PROGRAM: Final = Program(
    name=ROLE,
    description="""\
Issues handles: signed claims with a TSA's stamp, published over MQTT. Needs a
TOML file with name, signing_key, state_file, [tsa] urls and roots, and
[mqtt].""",
    commands=(run, issue_once, export, show, keygen),
)
