"""The pure core: ``step`` moves an attester's state, ``decision`` turns a message into the claims of a result."""
