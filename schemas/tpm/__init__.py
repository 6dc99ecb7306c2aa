"""Structures of TCG TPM 2.0 Library Part 2: attestations, signatures, keys and PCRs."""
