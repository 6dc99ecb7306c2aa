"""One module a command of ``verifier-worker``."""
