"""Results in a terminal: the live table, lines that follow, one attester in full."""
