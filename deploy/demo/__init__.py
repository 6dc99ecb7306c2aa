"""``python -m deploy.demo``: a whole system on one machine, and a story that shows what it notices."""
