"""The attester's agent: binds its TPM's clock to the latest handle and pushes evidence.

Pure core: which handles and solicits count, what a push holds, which log entries a quote covers, what is remembered.
Around it: the TPM, the measurement logs, the spool, and one loop that owns the state.
"""
