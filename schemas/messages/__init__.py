"""Everything that two parties send each other: one message a module, described in ``schemas/cddl``."""
