"""Proofs of the time model by an SMT solver, on the product's own functions: ``./run prove``."""
