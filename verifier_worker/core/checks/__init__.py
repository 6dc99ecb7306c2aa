"""The checks as data: ordered tuples of functions. Each asks one trust question and has one reason code.

``admission`` decides whether a push may change an attester's state at all; a refused push changes no verdict.
``appraisal`` judges the attester by an accepted push; its answers are findings.
"""
