"""Time Stamp Authorities (RFC 3161): ``client`` asks one, ``verifier`` checks its tokens, ``address`` is its URL."""
