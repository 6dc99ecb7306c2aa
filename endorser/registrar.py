"""The registrar: answers requests and activations, and carries out the operators' decisions.

Has no transport: the service passes it messages from the broker, the commands pass it files, both as CMW records. It
writes the registry before it returns an answer. A process that is killed in between can lose an answer, which the
device can ask for again, but never a decision.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from endorser.adapters.registry import Registry
from endorser.adapters.vendor_files import load_vendors
from endorser.core.certificate_path import Vendors
from endorser.core.credential import make_credential
from endorser.core.endorsements import BACKDATED_S, DAY_S
from endorser.core.enrolment import (
    Candidate,
    Decision,
    Device,
    Endorsed,
    OpenChallenge,
    Pending,
    Standing,
    check_activation,
    check_standing,
    examine,
)
from endorser.settings import Settings
from runtime import clock
from runtime.keys import load_signing_key
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import ConfigError, PeerError
from schemas.identifiers import Ueid, ueid_text
from schemas.messages.endorsement import Endorsement, Genuine, sign_endorsement
from schemas.messages.enrolment import (
    MAX_ACTIVATION_BYTES,
    MAX_REQUEST_BYTES,
    SECRET_BYTES,
    Challenge,
    Outcome,
    RequestDigest,
    challenge_digest,
    parse_activation,
    request_digest,
    sign_challenge,
    sign_outcome,
)
from schemas.reasons import Reason
from schemas.tpm.public import TpmPublic, parse_public

_ENVELOPE_BYTES: Final = 128
_SEED_BYTES: Final = 64


def request_label(raw_request: bytes) -> str:
    """The label of a waiting request: the start of its digest."""
    return hashlib.sha256(raw_request).hexdigest()[:16]


class Registrar:
    """Answers devices and carries out decisions. Owned by one thread."""

    def __init__(self, settings: Settings, vendors: Vendors, key: EllipticCurvePrivateKey, registry: Registry) -> None:
        """Changes nothing yet."""
        self._settings = settings
        self._vendors = vendors
        self._key = key
        self._registry = registry

    def challenge(self, payload: bytes, topic_ueid: Ueid | None, now_s: int) -> tuple[Ueid, bytes]:
        """Answers a request with a challenge.

        Args:
            payload: the CMW record.
            topic_ueid: device of the topic that the record arrived on; None for a file.
            now_s: UTC seconds.

        Returns:
            The device's UEID, computed from its endorsement key, and the CMW record for it.

        Raises:
            PeerError: as :func:`endorser.core.enrolment.examine` and ``check_standing``; ``ueid-mismatch``,
                ``enrolment-rate-limited``.
            WorldError: ``store-unavailable``.
        """
        raw = unwrap_request(payload)
        candidate = self._examine(raw, now_s)
        _check_topic(topic_ueid, candidate.ueid)
        secret = clock.random_bytes(SECRET_BYTES)
        credential, encrypted = make_credential(
            candidate.ek, candidate.ak.name, secret, clock.random_bytes(_SEED_BYTES)
        )
        challenge = Challenge(
            ueid=candidate.ueid,
            request=candidate.request,
            credential=credential,
            encrypted_secret=encrypted,
            expires_s=now_s + self._settings.limits.challenge_lifetime_s,
        )
        signed = sign_challenge(challenge, self._key)
        waiting = OpenChallenge(
            digest=challenge_digest(signed),
            request=candidate.request,
            ueid=candidate.ueid,
            secret=secret,
            expires_s=challenge.expires_s,
            raw_request=raw,
        )
        self._registry.open_challenge(waiting, now_s, limit=self._settings.limits.open_challenges)
        return candidate.ueid, cmw.wrap(media_types.ENROLMENT_CHALLENGE, signed, None)

    def accept(self, payload: bytes, topic_ueid: Ueid | None, now_s: int, who: str) -> tuple[Ueid, bytes]:
        """Answers an activation with an endorsement, or with ``enrolment-pending`` if an operator must approve it.

        Args:
            payload: the CMW record.
            topic_ueid: device of the topic that the record arrived on; None for a file.
            now_s: UTC seconds.
            who: for the record, if no rule approved the device.

        Returns:
            The device's UEID, and the CMW record of the outcome.

        Raises:
            PeerError: as :func:`endorser.core.enrolment.check_activation`, ``examine`` and ``check_standing``;
                ``ueid-mismatch``.
            WorldError: ``store-unavailable``.
        """
        limit = MAX_ACTIVATION_BYTES + _ENVELOPE_BYTES
        activation = parse_activation(cmw.unwrap(payload, media_types.ENROLMENT_ACTIVATION, None, max_bytes=limit))
        found, was_used = self._registry.challenge(activation.challenge)
        challenge = check_activation(activation, found, was_used=was_used, now_s=now_s)
        _check_topic(topic_ueid, challenge.ueid)
        candidate = self._examine(challenge.raw_request, now_s)
        device = self._registry.device(candidate.ueid)
        approved = self._settings.approve.rule.reason_for(candidate)
        if device is not None and device.standing is Standing.ADMITTED:
            approved = f"{who}: admitted before"
        if approved is None:
            pending = Pending(
                ueid=candidate.ueid,
                request=candidate.request,
                raw_request=challenge.raw_request,
                since_s=now_s,
                name=candidate.name,
                summary=_summary(candidate),
            )
            self._registry.postpone(pending, candidate, challenge.digest)
            error = PeerError(Reason.ENROLMENT_PENDING, "the key is proven; an operator must approve the device")
            return candidate.ueid, self.refusal(candidate.ueid, candidate.request, error)
        endorsed = self._endorse(candidate, device, now_s)
        action = "enrolled" if device is None or device.ak_name is None else "renewed"
        if device is not None and device.ak_name not in (None, candidate.ak.name):
            action = "rolled over"
        decision = Decision(at_s=now_s, ueid=candidate.ueid, action=action, who=approved, detail=_summary(candidate))
        self._registry.admit(candidate, endorsed, self._group(device), decision, challenge.digest)
        return candidate.ueid, self._granted(candidate.ueid, candidate.request, endorsed)

    def approve(self, ueid: Ueid, now_s: int, who: str, *, request: str | None = None) -> tuple[bytes, bytes, str]:
        """Admits a waiting device. Verifies its request again, because a certificate may have been revoked meanwhile.

        Args:
            ueid: the device.
            now_s: UTC seconds.
            who: the operator's name, for the record.
            request: :func:`request_label` of the request that the operator looked at, as the device can send another
                one meanwhile. None approves any.

        Returns:
            The signed endorsement, the CMW record of the outcome, and a description of the device for people.

        Raises:
            ConfigError: the device is not waiting.
            PeerError: as :meth:`accept`.
            WorldError: ``store-unavailable``.
        """
        waiting = self._registry.pending(ueid)
        if not waiting:
            raise ConfigError(f"{ueid_text(ueid)}: not pending; `endorser pending` lists the devices that are")
        label = request_label(waiting[0].raw_request)
        if request is not None and request != label:
            raise ConfigError(f"--request {request[:64]}: the device has sent another one since, {label}; look again")
        candidate = self._examine(waiting[0].raw_request, now_s)
        device = self._registry.device(ueid)
        endorsed = self._endorse(candidate, device, now_s)
        decision = Decision(at_s=now_s, ueid=ueid, action="approved", who=who, detail=_summary(candidate))
        self._registry.admit(candidate, endorsed, self._group(device), decision)
        return endorsed.signed, self._granted(ueid, candidate.request, endorsed), _summary(candidate)

    def change_standing(self, ueid: Ueid, standing: Standing, now_s: int, who: str, why: str) -> bytes | None:
        """Rejects, revokes, decommissions or readmits a device.

        If a device has a valid endorsement and is no longer admitted, a new version that has expired replaces it.

        Returns:
            That version, signed; None if none is needed.

        Raises:
            WorldError: ``store-unavailable``.
        """

        def end(device: Device | None, last: Endorsed | None) -> Endorsed | None:
            if standing is Standing.ADMITTED or last is None or last.not_after_s < now_s:
                return None
            group = None if device is None else device.group
            return self._sign(ueid, parse_public(last.ak_public), last.genuine, group, last.version, now_s, now_s - 1)

        decision = Decision(at_s=now_s, ueid=ueid, action=str(standing), who=who, detail=why)
        ended = self._registry.change_standing(standing, decision, end)
        return None if ended is None else ended.signed

    def refusal(self, ueid: Ueid, request: RequestDigest, error: PeerError) -> bytes:
        """The CMW record that reports a refusal to a device."""
        outcome = Outcome(ueid=ueid, request=request, endorsement=None, reason=error.reason, detail=error.detail)
        return cmw.wrap(media_types.ENROLMENT_OUTCOME, sign_outcome(outcome, self._key), None)

    def _examine(self, raw: bytes, now_s: int) -> Candidate:
        candidate = examine(raw, self._vendors, now_s)
        check_standing(candidate, self._registry.device(candidate.ueid), self._registry.owner_of(candidate.name))
        return candidate

    def _granted(self, ueid: Ueid, request: RequestDigest, endorsed: Endorsed) -> bytes:
        outcome = Outcome(ueid=ueid, request=request, endorsement=endorsed.signed)
        return cmw.wrap(media_types.ENROLMENT_OUTCOME, sign_outcome(outcome, self._key), None)

    def _group(self, device: Device | None) -> str | None:
        return self._settings.group if device is None or device.group is None else device.group

    def _endorse(self, candidate: Candidate, device: Device | None, now_s: int) -> Endorsed:
        version = 0 if device is None else device.version
        not_after_s = now_s + self._settings.days * DAY_S
        return self._sign(
            candidate.ueid, candidate.ak, candidate.genuine, self._group(device), version, now_s, not_after_s
        )

    def _sign(
        self,
        ueid: Ueid,
        ak: TpmPublic,
        genuine: Genuine | None,
        group: str | None,
        last_version: int,
        now_s: int,
        not_after_s: int,
    ) -> Endorsed:
        """Signs the next version. Versions are UTC seconds, as in ``endorser endorse``, and always grow."""
        endorsement = Endorsement(
            ueid=ueid,
            attesting_key=ak,
            version=max(now_s, last_version + 1),
            signer=self._settings.name,
            not_before_s=min(now_s, not_after_s) - BACKDATED_S,
            not_after_s=not_after_s,
            genuine=genuine,
            group=group,
        )
        return Endorsed(
            ueid=ueid,
            version=endorsement.version,
            ak_name=ak.name,
            ak_public=ak.raw,
            genuine=genuine,
            not_after_s=not_after_s,
            signed=sign_endorsement(endorsement, ak.raw, self._key),
        )


@contextmanager
def open_registrar(settings: Settings) -> Iterator[tuple[Registrar, Registry]]:
    """Loads the signing key and the vendors' certificates, and opens the registry; closes it at the end.

    Raises:
        ConfigError: names the file that is missing or wrong.
    """
    key = load_signing_key(settings.signing_key, made_by="endorser keygen")
    vendors = load_vendors(settings.vendors)
    registry = Registry(settings.registry)
    try:
        yield Registrar(settings, vendors, key, registry), registry
    finally:
        registry.close()


def unwrap_request(payload: bytes) -> bytes:
    """The request in a CMW record, not parsed.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``unknown-media-type``.
    """
    limit = MAX_REQUEST_BYTES + _ENVELOPE_BYTES
    return cmw.unwrap(payload, media_types.ENROLMENT_REQUEST, None, max_bytes=limit)


def digest_of(payload: bytes) -> RequestDigest | None:
    """The digest of the request that a payload is or answers, for a refusal; None if it is neither."""
    try:
        return request_digest(unwrap_request(payload))
    except PeerError:
        pass
    try:
        return parse_activation(cmw.unwrap(payload, media_types.ENROLMENT_ACTIVATION, None)).request
    except PeerError:
        return None


def _check_topic(topic_ueid: Ueid | None, ueid: Ueid) -> None:
    if topic_ueid is not None and topic_ueid != ueid:
        raise PeerError(Reason.UEID_MISMATCH, f"{ueid_text(ueid)} used another device's topic")


def _summary(candidate: Candidate) -> str:
    certificate = candidate.certificate
    name = "" if candidate.name is None else f"{candidate.name}, "
    return (
        f"{name}TPM {certificate.subject}, root {certificate.root}, {candidate.genuine} {certificate.serial}, "
        f"AK {candidate.ak.name.hex()}"
    )
