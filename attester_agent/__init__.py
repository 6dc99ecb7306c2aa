"""The attester's agent: binds its TPM's clock to the latest handle and pushes evidence.

``commands`` has the command line. ``service`` and ``agent`` run the loop that owns the state; ``push_maker`` makes one
push; ``doctor_checks`` is ``attester-agent doctor``. ``adapters``, ``tpm`` and ``logs`` touch the outside world.
``core`` is pure: which handles and solicits are accepted, what a push holds, which log entries a quote covers.
``claims`` is the interface of claim plug-ins.
"""
