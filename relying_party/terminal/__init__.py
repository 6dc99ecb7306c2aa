"""Results in a terminal.

``feed`` listens to the broker; ``follow`` runs ``watch`` and ``results``; ``live_table`` is the screen with its keys;
``table`` makes rows and lines, ``result_text`` the page about one attester; ``selection`` filters, sorts and names
attesters; ``notices`` decides which problems to print.
"""
