"""Codes and verdicts in words, for people. No program decides anything by them."""
