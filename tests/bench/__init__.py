"""Benchmarks: never tests. Each measures its subject and its floor in the same run and prints their ratio."""
