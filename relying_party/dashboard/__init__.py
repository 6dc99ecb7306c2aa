"""The dashboard: a web page over what the broker publishes, for operators and auditors (docs/dashboard.md).

A relying party like any other: it subscribes, verifies, shows; it publishes nothing and decides nothing. From below:
``series``, ``fleet``, ``handle_watch``, ``rows`` are pure; ``feed`` listens; ``events`` and ``web``
serve; ``login`` and ``oidc`` say who may look. All state is owned by the thread of the event loop.
"""
