"""Structures of TCG TPM 2.0 Library Part 2: what a TPM signs, its keys and signatures, its PCRs."""
