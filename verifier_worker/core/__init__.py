"""The pure core: ``decision`` turns a message into a result, ``step`` changes an attester's state, ``checks`` judge it.

No module here touches files, network, clock or randomness.
"""
