"""The commands of ``endorser``."""
