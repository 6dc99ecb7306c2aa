"""The pure core: what a push holds, which handles and solicits the agent follows, what it remembers."""
