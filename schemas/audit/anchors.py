"""The keys and roots that a verifier trusted, and its starts: entries of its audit log that no key signs.

    anchors  {1: name, 2: build, 3: form of results, 4: verifier's key, 5: endorsers, 6: distributors, 7: TSA roots,
              8: TSA intermediates, 9: version of stored states, 10: scopes of endorsers' keys, if there are any}
    start    {1: SHA-256 of the anchors, 2: SHA-256 of its own policy or null, 3: attesters, 4: objects}

Keys are DER SubjectPublicKeyInfo of P-256 keys, certificates are DER, each list is sorted, so equal trust has equal
bytes. The verifier writes ``start`` at each start, after the anchors and the policy that it names. It states how many
attesters and objects (without handles) the verifier's database holds; earlier entries must explain them, so a verifier
with an empty database writes two zeros. An auditor compares the anchors with known keys. An auditor without such keys
trusts the log's claim, and the report must say so.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from schemas.codecs import cbor, cose
from schemas.codecs.fields import as_array, as_bytes, as_map, as_text, as_uint
from schemas.errors import PeerError
from schemas.limits import MAX_KEYS
from schemas.messages.key_scope import KeyScope
from schemas.reasons import Reason
from schemas.topics import TopicKind

MAX_ANCHORS_BYTES: Final = 1024 * 1024
MAX_CERTIFICATE_BYTES: Final = 16 * 1024
_MAX_KEY_BYTES: Final = 256
_DIGEST_BYTES: Final = 32
_NAME, _BUILD, _FORM, _KEY, _ENDORSERS, _DISTRIBUTORS, _ROOTS, _INTERMEDIATES, _STATES = range(1, 10)
_SCOPES: Final = 10
_ANCHORS, _POLICY, _ATTESTERS, _OBJECTS = range(1, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """The facts that decide a verifier's results, beside the other entries of its audit log.

    Attributes:
        verifier: the verifier's name in results.
        build: the verifier's software in results.
        result_format: ``jwt`` or ``cwt``.
        key: the key that signs results, DER.
        endorsers: keys of endorsers, DER.
        distributors: keys of handle distributors, DER.
        tsa_roots: certificates, DER.
        tsa_intermediates: certificates between a root and a TSA that tokens leave out, DER.
        state_version: format version of stored states. The verifier ignores stored states of other versions.
        scopes: of endorsers' keys, by ``cose.key_id``; a key without one may sign everything.
    """

    verifier: str
    build: str
    result_format: str
    key: bytes
    endorsers: tuple[bytes, ...]
    distributors: tuple[bytes, ...]
    tsa_roots: tuple[bytes, ...]
    tsa_intermediates: tuple[bytes, ...]
    state_version: int
    scopes: Mapping[bytes, KeyScope] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A verifier started.

    Attributes:
        anchors: SHA-256 of :func:`encode_anchors`.
        policy: SHA-256 of the text of its own policy; None if it has none.
        attesters: number of attesters in its database.
        objects: number of signed objects in its database, without handles.
    """

    anchors: bytes
    policy: bytes | None
    attesters: int
    objects: int


def encode_anchors(anchors: Anchors) -> bytes:
    """The content of an entry of the kind ``anchors``."""
    items: dict[int, object] = {
        _NAME: anchors.verifier,
        _BUILD: anchors.build,
        _FORM: anchors.result_format,
        _KEY: anchors.key,
        _ENDORSERS: sorted(set(anchors.endorsers)),
        _DISTRIBUTORS: sorted(set(anchors.distributors)),
        _ROOTS: sorted(set(anchors.tsa_roots)),
        _INTERMEDIATES: sorted(set(anchors.tsa_intermediates)),
        _STATES: anchors.state_version,
    }
    if anchors.scopes:
        items[_SCOPES] = [[key, *_scope_items(scope)] for key, scope in sorted(anchors.scopes.items())]
    return cbor.encode(items)


def parse_anchors(raw: bytes) -> Anchors:
    """The inverse of :func:`encode_anchors`. Keys are parsed, certificates are not.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    decoded = cbor.decode(raw, "anchors", max_bytes=MAX_ANCHORS_BYTES)
    items = as_map(decoded, "anchors", required=range(1, 10), optional=(_SCOPES,))
    key = as_bytes(items[_KEY], "anchors key", limit=_MAX_KEY_BYTES)
    endorsers = _listed(items[_ENDORSERS], "anchors endorsers", _MAX_KEY_BYTES)
    distributors = _listed(items[_DISTRIBUTORS], "anchors distributors", _MAX_KEY_BYTES)
    keys_by_id((key, *endorsers, *distributors))
    return Anchors(
        verifier=as_text(items[_NAME], "anchors name", limit=64),
        build=as_text(items[_BUILD], "anchors build", limit=128),
        result_format=as_text(items[_FORM], "anchors form", limit=16),
        key=key,
        endorsers=endorsers,
        distributors=distributors,
        tsa_roots=_listed(items[_ROOTS], "anchors roots", MAX_CERTIFICATE_BYTES),
        tsa_intermediates=_listed(items[_INTERMEDIATES], "anchors intermediates", MAX_CERTIFICATE_BYTES),
        state_version=as_uint(items[_STATES], "anchors state version"),
        scopes=dict(map(_parse_scope, as_array(items.get(_SCOPES, ()), "anchors scopes", limit=MAX_KEYS))),
    )


def _scope_items(scope: KeyScope) -> list[object]:
    """Kinds, names and groups; each a sorted array, or null where the scope does not limit."""
    limits = (scope.kinds, scope.names, scope.groups)
    return [None if limit is None else sorted(map(str, limit)) for limit in limits]


def _parse_scope(item: object) -> tuple[bytes, KeyScope]:
    name = "anchors scope"
    key, *limits = as_array(item, name, length=4)
    texts = [
        None if limit is None else [as_text(each, name, limit=256) for each in as_array(limit, name, limit=MAX_KEYS)]
        for limit in limits
    ]
    kinds, names, groups = texts
    unknown = set(kinds or ()) - set(TopicKind)
    if unknown:
        raise PeerError(Reason.MALFORMED, f"{name}: {min(unknown)[:64]!r} is no kind of trust object")
    return as_bytes(key, name, size=cose.KEY_ID_BYTES), KeyScope(
        kinds=None if kinds is None else frozenset(map(TopicKind, kinds)),
        names=None if names is None else tuple(names),
        groups=None if groups is None else frozenset(groups),
    )


def encode_start(start: Start) -> bytes:
    """The content of an entry of the kind ``start``."""
    return cbor.encode(
        {_ANCHORS: start.anchors, _POLICY: start.policy, _ATTESTERS: start.attesters, _OBJECTS: start.objects}
    )


def parse_start(raw: bytes) -> Start:
    """The inverse of :func:`encode_start`.

    Raises:
        PeerError: ``too-large`` or ``malformed``.
    """
    items = as_map(cbor.decode(raw, "start", max_bytes=_MAX_KEY_BYTES), "start", required=range(1, 5), optional=())
    policy = items[_POLICY]
    return Start(
        anchors=as_bytes(items[_ANCHORS], "start anchors", size=_DIGEST_BYTES),
        policy=None if policy is None else as_bytes(policy, "start policy", size=_DIGEST_BYTES),
        attesters=as_uint(items[_ATTESTERS], "start attesters"),
        objects=as_uint(items[_OBJECTS], "start objects"),
    )


def public_der(key: EllipticCurvePublicKey) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def keys_by_id(ders: Iterable[bytes]) -> Mapping[bytes, EllipticCurvePublicKey]:
    """Keys by ``cose.key_id``.

    Raises:
        PeerError: ``malformed`` for anything but a P-256 key.
    """
    keys = {}
    for der in ders:
        try:
            key = load_der_public_key(der)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise PeerError(Reason.MALFORMED, f"anchors: not a public key ({error})") from error
        if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
            raise PeerError(Reason.MALFORMED, "anchors: not a P-256 key")
        if public_der(key) != der:
            raise PeerError(Reason.MALFORMED, "anchors: a key that is not canonical DER")
        keys[cose.key_id(key)] = key
    return keys


def thumbprint(der: bytes) -> str:
    """SHA-256 of a key or certificate in DER, for people: ``openssl x509 -fingerprint -sha256`` without colons."""
    return hashlib.sha256(der).hexdigest()


def _listed(value: object, field: str, limit: int) -> tuple[bytes, ...]:
    items = tuple(as_bytes(item, field, limit=limit) for item in as_array(value, field, limit=MAX_KEYS))
    if list(items) != sorted(set(items)):
        raise PeerError(Reason.MALFORMED, f"{field}: not sorted, or one item twice")
    return items
