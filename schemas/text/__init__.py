"""Boot logs, reason codes and verdicts in words, for people. No program depends on these texts."""
