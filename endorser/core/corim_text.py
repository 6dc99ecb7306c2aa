"""Describes any CoRIM for people, also one of another tool, as far as its content is understood. Pure.

Without a key nothing is verified; then the first and the last line state that.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from endorser.core.endorsements import verify_any
from schemas import media_types
from schemas.codecs import cbor, cose
from schemas.codecs.printable import printable
from schemas.errors import PeerError
from schemas.hashes import BY_NI_ID
from schemas.identifiers import parse_ueid, ueid_text
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.messages import corim
from schemas.reasons import Reason

FIRST_PATHS: Final = 10
UNVERIFIED: Final = "UNVERIFIED: no key was given; anyone may have written this"
_KINDS: Final = {
    0: "reference values",
    1: "endorsed values",
    2: "identity keys",
    3: "attestation keys",
    4: "dependencies",
    5: "memberships",
    6: "CoSWID links",
    8: "conditional endorsement series",
    10: "conditional endorsements",
}
_KEY_KINDS: Final = {
    554: "public key",
    555: "certificate",
    556: "certificate path",
    557: "key thumbprint",
    558: "COSE key",
    559: "certificate thumbprint",
    560: "bytes",
    561: "path thumbprint",
    562: "DER certificate",
}
_MAX_SHOWN_BYTES: Final = 80
_FIRST_DIGESTS: Final = 4


def describe_corim(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> dict[str, Any]:
    """The content of a CoRIM as plain values.

    Args:
        raw: a signed or unsigned CoRIM, or a CMW record of one, as on the broker.
        keys: one of these must have signed it; empty verifies nothing.

    Returns:
        Plain values for JSON; ``verified`` is True if one of ``keys`` signed it.

    Raises:
        PeerError: it is not a CoRIM, or none of the given keys signed it.
    """
    decoded = _decode(raw)
    if isinstance(decoded, Sequence) and len(decoded) > 1 and isinstance(decoded[1], bytes):
        raw = decoded[1]
        decoded = _decode(raw)
    shown: dict[str, Any] = {"verified": False, "bytes": len(raw)}
    if isinstance(decoded, cbor.Tag) and decoded.tag == cose.TAG_SIGN1:
        shown |= _signature(raw, decoded.value, keys)
        payload = decoded.value[2]
        decoded = _decode(payload) if isinstance(payload, bytes) else payload
    elif keys:
        raise PeerError(Reason.OBJECT_SIGNATURE_INVALID, "it is not signed")
    content = decoded.value if isinstance(decoded, cbor.Tag) and decoded.tag == corim.TAG_CORIM else None
    if not isinstance(content, Mapping):
        raise PeerError(Reason.MALFORMED, "not a CoRIM: its payload is not a map with tag 501")
    shown["id"] = _plain(content.get(0))
    if 3 in content:  # noqa: PLR2004 draft, corim-map
        shown["profile"] = _plain(content[3])
    shown |= _validity(content.get(4))
    shown["tags"] = [_tag(tag) for tag in _items(content.get(1))]
    return shown


def text_of(shown: Mapping[str, Any]) -> str:
    """The values as a text for people."""
    verdict = f"verified: signed by key {shown.get('key', '?')}" if shown["verified"] else UNVERIFIED
    lines = [verdict, f"CoRIM {shown['id']}"]
    labels = ("signer", "profile", "not_before", "not_after", "algorithm", "refused")
    lines += [f"  {label:14} {shown[label]}" for label in labels if shown.get(label) is not None]
    for tag in shown["tags"]:
        lines.append(f"  {tag['kind']} {tag.get('id', '')} version {tag.get('version', 0)}")
        if "until" in tag:
            lines.append(f"    OUTGOING: acceptable until {tag['until']}")
        for triple in tag.get("triples", ()):
            lines += _triple_lines(triple)
    if not shown["verified"]:
        lines.append(UNVERIFIED)
    return "\n".join(lines)


def _triple_lines(triple: Mapping[str, Any]) -> list[str]:
    lines = [f"    {triple['kind']}: {triple['environment']}"]
    lines += [f"      {name:12} {' '.join(digests)}" for name, digests in triple["registers"].items()]
    if triple["files"]:
        lines.append(f"      files        {triple['files']}")
        lines += [f"        {path}" for path in triple["first_files"]]
        if triple["files"] > len(triple["first_files"]):
            lines.append(f"        … and {triple['files'] - len(triple['first_files'])} more")
    lines += [f"      key          {key}" for key in triple["keys"]]
    lines += [f"      also         {other}" for other in triple["other"]]
    return lines


def _decode(raw: bytes) -> Any:  # noqa: ANN401 of any tool
    return cbor.decode_foreign(raw, "CoRIM", max_bytes=MAX_REFERENCE_VALUES_BYTES)


def _signature(raw: bytes, items: Any, keys: Mapping[bytes, EllipticCurvePublicKey]) -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(items, Sequence) or len(items) != 4 or not isinstance(items[0], bytes):  # noqa: PLR2004 RFC 9052, 4.2
        raise PeerError(Reason.MALFORMED, "not a COSE_Sign1")
    headers = _map(_decode(items[0]) if items[0] else {})
    shown: dict[str, Any] = {"algorithm": headers.get(cose.HEADER_ALGORITHM)}
    if isinstance(headers.get(4), bytes):
        shown["key"] = headers[4].hex()
    meta = headers.get(corim.HEADER_CORIM_META)
    if isinstance(meta, bytes):
        shown["signer"] = _plain(_map(_map(_decode(meta)).get(0)).get(0))
    elif isinstance(headers.get(15), Mapping):  # CWT claims
        shown["signer"] = _plain(headers[15].get(1))
    if keys:
        sign1 = cose.parse(raw, "CoRIM", max_bytes=MAX_REFERENCE_VALUES_BYTES)
        expected = {cose.HEADER_CONTENT_TYPE: media_types.CORIM}
        cose.verify(sign1, keys, expected, Reason.OBJECT_SIGNATURE_INVALID)
        shown["verified"] = True
        try:
            verify_any(raw, keys)
        except PeerError as error:
            shown["refused"] = f"verifiers of attestream refuse it: {error.detail}"
    return shown


def _validity(value: Any) -> dict[str, str]:  # noqa: ANN401
    if not isinstance(value, Mapping):
        return {}
    names = {0: "not_before", 1: "not_after"}
    return {name: _date(value[key]) for key, name in names.items() if key in value}


def _date(value: Any) -> str:  # noqa: ANN401
    seconds = value.value if isinstance(value, cbor.Tag) and value.tag == cbor.TAG_EPOCH_TIME else value
    try:
        return datetime.fromtimestamp(float(seconds), UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return _plain(value)


def _tag(tag: Any) -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(tag, cbor.Tag) or tag.tag != corim.TAG_COMID or not isinstance(tag.value, bytes):
        number = tag.tag if isinstance(tag, cbor.Tag) else None
        return {"kind": {505: "CoSWID", 508: "CoTL"}.get(number, "unknown tag") if number else "no tag"}
    comid = _decode(tag.value)
    identity = comid.get(1) if isinstance(comid, Mapping) else None
    if not isinstance(comid, Mapping) or not isinstance(identity, Mapping):
        return {"kind": "CoMID that does not parse"}
    shown: dict[str, Any] = {"kind": "CoMID", "id": _plain(identity.get(0)), "version": identity.get(1, 0)}
    if corim.COMID_UNTIL in comid:
        shown["until"] = _date(comid[corim.COMID_UNTIL])
    triples = comid.get(4)
    shown["triples"] = [
        _triple(_KINDS.get(kind, f"triples {kind}"), record)
        for kind, records in (triples.items() if isinstance(triples, Mapping) else ())
        for record in _items(records)
    ]
    return shown


def _triple(kind: str, record: Any) -> dict[str, Any]:  # noqa: ANN401
    items = _items(record)
    shown: dict[str, Any] = {"kind": kind, "environment": _environment(items[0] if items else None)}
    shown |= {"registers": {}, "files": 0, "first_files": [], "keys": [], "other": []}
    for item in _items(items[1]) if len(items) > 1 else ():
        if isinstance(item, cbor.Tag):
            shown["keys"].append(_key(item))
        elif isinstance(item, Mapping) and isinstance(item.get(1), Mapping):
            _measurement(_plain(item.get(0)) if 0 in item else "", item[1], shown)
        else:
            shown["other"].append(_plain(item))
    return shown


def _measurement(name: str, value: Mapping[Any, Any], shown: dict[str, Any]) -> None:
    for key, content in value.items():
        if key == 14 and isinstance(content, Mapping):  # noqa: PLR2004 integrity registers
            for register, digests in content.items():
                _register(register, _digests(digests), shown)
        elif key == 2:  # noqa: PLR2004 digests
            _register(_plain(value.get(11, name)), _digests(content), shown)
        elif key == 13:  # noqa: PLR2004 keys
            shown["keys"] += [_key(each) for each in _items(content)]
        elif key != 11:  # noqa: PLR2004 a name
            shown["other"].append(f"{name} {key}: {_plain(content)}".strip())


def _register(register: Any, digests: list[str], shown: dict[str, Any]) -> None:  # noqa: ANN401
    if isinstance(register, int):
        shown["registers"].setdefault(f"PCR {register}", []).extend(digests)
        return
    shown["files"] += 1
    if len(shown["first_files"]) < FIRST_PATHS:
        shown["first_files"].append(f"{_plain(register)}  {' '.join(digests[:_FIRST_DIGESTS])}")


def _digests(value: Any) -> list[str]:  # noqa: ANN401
    shown = []
    for item in _items(value):
        parts = _items(item)
        if len(parts) > 1 and isinstance(parts[1], bytes):
            algorithm = BY_NI_ID.get(parts[0]) if isinstance(parts[0], int) else None
            shown.append(f"{algorithm.name if algorithm else _plain(parts[0])}:{parts[1].hex()}")
    return shown


def _environment(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, Mapping):
        return "?"
    parts = []
    if isinstance(value.get(0), Mapping):
        names = {0: "class", 1: "vendor", 2: "model", 3: "layer", 4: "index"}
        parts += [f"{names.get(key, key)} {_plain(item)}" for key, item in value[0].items()]
    if 1 in value:
        parts.append(f"instance {_instance(value[1])}")
    return ", ".join(parts) or "?"


def _instance(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, cbor.Tag) and value.tag == corim.TAG_UEID and isinstance(value.value, bytes):
        try:
            return f"UEID {ueid_text(parse_ueid(value.value))}"
        except PeerError:
            pass
    return _plain(value)


def _key(tag: Any) -> str:  # noqa: ANN401
    if isinstance(tag, cbor.Tag):
        content = tag.value
        if isinstance(content, str):
            content = "".join(line for line in content.splitlines() if not line.startswith("---"))
        return f"{_KEY_KINDS.get(tag.tag, f'tag {tag.tag}')} {_plain(content)}"
    return _plain(tag)


def _map(value: Any) -> Mapping[Any, Any]:  # noqa: ANN401
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> Sequence[Any]:  # noqa: ANN401
    return value if isinstance(value, list | tuple) else ()


def _plain(value: Any) -> str:  # noqa: ANN401
    """The value on one line of limited length; control characters are escaped."""
    match value:
        case bytes():
            text = value[:_MAX_SHOWN_BYTES].hex() + ("…" if len(value) > _MAX_SHOWN_BYTES else "")
        case cbor.Tag():
            text = f"{value.tag}({_plain(value.value)})"
        case _:
            text = str(value)
    return printable(text)[:256]
