"""Measurement logs replayed to the PCR values that a quote signs. Attester, verifier and endorser use the same code."""
