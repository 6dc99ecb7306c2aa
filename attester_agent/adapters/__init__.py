"""The agent's connections to the outside world, apart from TPM and measurement logs: spool, inbox, files, metrics."""
