"""The relying party's side: verified attestation results for programs (:class:`Results`) and for people (``watch``).

Knows results and trusted verifier keys; appraises nothing. Of evidence it knows only whom it is about and its digest.
"""

from relying_party.attestation import Attestation, Expectations
from relying_party.results import Results

__all__ = ["Attestation", "Expectations", "Results"]
