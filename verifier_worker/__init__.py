"""The Verifier: rebuilds each attester's state from its evidence and signs results about it.

``commands`` is the command line, ``service`` the running process, ``worker`` the order of effects. ``core`` decides,
``adapters`` read, store and send, ``audit`` works on recorded audit logs. Runs without a TPM library.
"""
