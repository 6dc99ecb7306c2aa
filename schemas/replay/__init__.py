"""Replays measurement logs to the PCR values that a quote signs. Attester, verifier and endorser share this code."""
