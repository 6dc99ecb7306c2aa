"""The commands of ``relying-party``."""
