"""The library for programs: verifies results with key files and this machine's clock, in a few lines.

    results = Results.from_files("verifier.jwks", policies=["fleet/3"], max_age_s=120)
    attestation = results.verify(token)
    if attestation.affirming: ...

:meth:`Results.reload` replaces the key set as a whole; one thread may call it. :meth:`Results.verify` may be called
from any thread.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

from relying_party.attestation import LEEWAY_S, Attestation, Expectations, verify_attestation
from runtime import clock
from runtime.keys import load_public_keys
from runtime.ports import Tracer
from schemas.identifiers import Ueid
from schemas.messages import passport_proof, result_token
from schemas.messages.handle import Handle
from schemas.messages.result import AttestationResult


class Results:
    """Verifies results of trusted verifiers against the caller's expectations."""

    def __init__(
        self, key_files: Iterable[str | Path], expected: Expectations, *, tracer: Tracer | None = None
    ) -> None:
        """Loads the keys; with a ``tracer``, each verified result becomes a span.

        Raises:
            ConfigError: a key file is missing or holds no key.
        """
        self.expected = expected
        self._tracer = tracer
        self._files = tuple(map(Path, key_files))
        self._keys = result_token.result_keys(load_public_keys(self._files))

    @classmethod
    def from_files(
        cls,
        *key_files: str | Path,
        policies: Collection[str] | None = None,
        max_age_s: float | None = None,
        max_handle_age_s: float | None = None,
        fresh_only: bool = False,
        leeway_s: float = LEEWAY_S,
        tracer: Tracer | None = None,
    ) -> "Results":
        """For the verifiers whose public keys are in these files, PEM or JWKS; any of the keys may have signed.

        Args:
            key_files: the keys of the trusted verifiers.
            policies: ids of the accepted appraisal policies, as ``fleet/3``; None for any.
            max_age_s: maximum age of the quote, seconds, in the worst case; None for any age.
            max_handle_age_s: maximum age of the handle, seconds; needs ``handles`` with each result.
            fresh_only: refuse results whose freshness is not ``fresh``.
            leeway_s: seconds that our clock and the verifier's may differ, either way.
            tracer: from ``runtime.monitoring.tracing``; each verified result becomes a span of its trace.

        Raises:
            ConfigError: a key file is missing or holds no key.
        """
        expected = Expectations(
            policies=policies,
            max_age_s=max_age_s,
            max_handle_age_s=max_handle_age_s,
            fresh_only=fresh_only,
            leeway_s=leeway_s,
        )
        return cls(key_files, expected, tracer=tracer)

    def reload(self) -> None:
        """Reads the key files again, as after a rollover; on an error the keys stay unchanged.

        Raises:
            ConfigError: a key file is missing or holds no key.
        """
        self._keys = result_token.result_keys(load_public_keys(self._files))

    def read(self, token: bytes) -> AttestationResult:
        """The content of a token that a trusted verifier signed; checks no expectation and no time.

        Raises:
            PeerError: ``too-large``, ``malformed``, ``unknown-media-type``, ``result-signature-invalid``.
        """
        return result_token.verify(result_token.token_of(token), self._keys)

    def verify(self, token: bytes, *, ueid: Ueid | None = None, handles: Iterable[Handle] | None = None) -> Attestation:
        """Verifies a result, now.

        Args:
            token: a JWT, a CWT, or a CMW record with either, as files and messages hold them.
            ueid: the attester that it must be about; None for any.
            handles: accepted handles, verified by the caller; None for any.

        Raises:
            PeerError: one of the codes of :func:`relying_party.attestation.verify_attestation`, or
                ``unknown-media-type``.
        """
        started_s, token = clock.monotonic_s(), result_token.token_of(token)
        verified = verify_attestation(token, self._keys, clock.utc_us(), self.expected, ueid=ueid, handles=handles)
        if self._tracer is not None and verified.result.evidence is not None:
            status = {"status": str(verified.result.status)}
            self._tracer.record(
                verified.result.evidence, "relying-party verify", started_s, clock.monotonic_s(), status
            )
        return verified

    def verify_passport(
        self, token: bytes, challenge: bytes, proof: bytes, *, handles: Iterable[Handle] | None = None
    ) -> Attestation:
        """Verifies a result that an attester presents, and that this attester is the one who presents it.

        Args:
            token: as for :meth:`verify`.
            challenge: the random bytes that the attester was given for this occasion.
            proof: its answer, made by ``attester-agent passport --challenge``.
            handles: as for :meth:`verify`.

        Raises:
            PeerError: as :meth:`verify`; ``result-proof-invalid``, and the others of
                :func:`schemas.messages.passport_proof.verify_proof`.
        """
        attestation = self.verify(token, handles=handles)
        parsed = passport_proof.parse_proof(proof)
        passport_proof.verify_proof(parsed, result_token.token_of(token), challenge, attestation.result)
        return attestation
