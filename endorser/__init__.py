"""The endorser and reference value provider: signs who has which attesting key, and what may be measured.

Works on files, needs no TPM and no server; ``endorser publish`` is the only command that talks to anyone.
"""
