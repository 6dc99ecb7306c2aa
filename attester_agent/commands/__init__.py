"""One module a command of ``attester-agent``."""
