"""The TCG Canonical Event Log (CEL): its records and their three encodings."""
