"""Stand-ins that implement our ports or speak our formats, for tests without the real parts."""
