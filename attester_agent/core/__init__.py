"""The pure core: what a push holds, which handles and solicits the agent accepts, what it remembers."""
