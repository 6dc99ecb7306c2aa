"""Everything that travels between two parties, one message a module, each described in ``schemas/cddl``."""
