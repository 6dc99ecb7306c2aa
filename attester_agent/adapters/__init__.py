"""What the agent uses of the world beside its TPM and its logs: spool, inbox, kernel, files, metrics, readiness."""
