"""Whole systems in memory, one a module: a device, an agent, a verifier, and a clock that the test moves."""
