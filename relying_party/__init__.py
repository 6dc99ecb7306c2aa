"""The relying party's side: verified attestation results for programs (``results``) and for people (``watch``).

Knows results and trusted verifier keys; knows no evidence, no TPM, no policy.
"""
