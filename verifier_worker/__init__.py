"""The Verifier: rebuilds each attester's state from its evidence and says, signed, what may be believed of it.

``step`` is the one function that moves state; ``checks`` are the questions it asks; everything else reads, stores,
sends. Installs and runs without a TPM library.
"""
