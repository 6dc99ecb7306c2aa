"""``python -m deploy.demo``: a whole system on one machine, and a scenario that shows what the verifier notices."""
