"""The questions a verifier asks, as data: ordered tuples of functions, one trust question and reason code each.

``admission`` asks whether a push may touch an attester's state at all; a no is a rejection and changes no verdict.
``appraisal`` asks what the push, once accepted, says about the attester; its answers are findings.
"""
