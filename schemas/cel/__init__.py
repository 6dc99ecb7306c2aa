"""The TCG Canonical Event Log: its records, and the three encodings that they come in."""
