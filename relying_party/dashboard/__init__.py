"""The dashboard: a web page of the whole fleet, for operators and auditors (docs/dashboard.md).

It is a relying party: it subscribes, verifies and shows; it publishes nothing and judges nothing. Pure: ``series``,
``fleet``, ``handle_watch``, ``rows``, ``login_page``, ``login_rate``. Around them: ``feed`` listens to the broker;
``events``, ``web``, ``process_status`` and ``request_checks`` answer browsers; ``access``, ``login``, ``oidc`` and
``passwords`` decide who may look; ``serving`` runs the server; ``settings`` is the TOML file; ``static`` is the page
itself. The thread of the event loop owns all state.
"""
