"""The worker's contact with the outside: state and trust stores, files, receipt times, solicits, metrics."""
