"""What a worker uses of the world: stores of state and trust, files, the receipt clock, solicits, metrics."""
