"""The endorser's connections to the outside world: registry, broker, vendors' files, packages, captured messages."""
