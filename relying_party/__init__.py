"""The relying party: takes verified attestation results and shows, checks, reports or records them.

For programs: :class:`Results` verifies results, :class:`Expectations` are the demands on one, :class:`Attestation` is
the outcome. The folders are programs of the command ``relying-party``:

* ``terminal``: the live table, lines that follow, one attester in full;
* ``alerts``: a service that reports changed verdicts to webhooks, Alertmanager and a topic;
* ``dashboard``: a web page of the whole fleet;
* ``audit``: checks, proofs, repair and recording of audit logs;
* ``commands``: a module for each command.

All of them use the same library: ``attestation`` (is this result acceptable?), ``results`` (the same, with key files
and this machine's clock), ``result_board`` (the newest result about each attester), ``result_json`` (a result as
JSON), ``background_check`` (has evidence appraised), ``settings``.

A relying party needs results and the keys of trusted verifiers. It appraises nothing: of evidence it reads only the
attester and the digest.
"""

from relying_party.attestation import Attestation, Expectations
from relying_party.results import Results

__all__ = ["Attestation", "Expectations", "Results"]
