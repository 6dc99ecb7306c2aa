"""The commands of ``endorser``, one module each; ``reference-values`` has commands of its own, in a folder."""

from typing import Final

from endorser.commands import (
    approve,
    corim,
    devices,
    endorse,
    enrolment,
    keygen,
    pending,
    policy,
    publish,
    record,
    reference_values,
    revoke_or_readmit,
    serve,
    show,
)
from endorser.settings import ROLE
from runtime.command_line import Program

PROGRAM: Final = Program(
    name=ROLE,
    description="Enrol devices; sign and publish the objects that verifiers trust.",
    commands=(
        keygen,
        endorse,
        reference_values,
        policy,
        corim,
        serve,
        pending,
        devices,
        record,
        approve,
        revoke_or_readmit,
        enrolment,
        publish,
        show,
    ),
)
