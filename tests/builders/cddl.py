"""The CDDL of ``schemas/cddl`` as zcbor reads it, and objects to hold against it.

zcbor 0.9.1 was written for cbor2 5: it names an exception that is gone, and knows neither the immutable containers that
cbor2 6 puts into tags nor that maps have no order. It is given the exception, plain containers, and maps in the order
of the CDDL, which for our integer keys is the deterministic order.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

import schemas
from schemas.codecs import cbor
from schemas.errors import PeerError
from schemas.messages.endorsement import Endorsement, sign_endorsement
from schemas.messages.reference_values import sign_reference_values
from schemas.transitions import TransitionKind
from tests.builders.file_signing import file_key
from tests.worlds.device import FakeDevice, make_handle, make_references

if not hasattr(cbor2, "CBORDecodeValueError"):
    cbor2.CBORDecodeValueError = cbor2.CBORDecodeError  # type: ignore[attr-defined]  # for zcbor
import zcbor  # after what it needs
from zcbor.zcbor import zcbor as zcbor_internals


def thaw(value: object) -> object:
    """The same with plain dicts and lists."""
    match value:
        case Mapping():
            return {key: thaw(item) for key, item in value.items()}
        case list() | tuple():
            return [thaw(item) for item in value]
        case cbor.Tag():
            return cbor.Tag(value.tag, thaw(value.value))
        case _:
            return value


def load(raw: bytes) -> object:
    """Decodes as our codec does."""
    return thaw(cbor.decode(raw, "item"))


CDDL = Path(schemas.__file__).parent / "cddl"


KEY = ec.generate_private_key(ec.SECP256R1())


Invalid = zcbor.CddlValidationError


def rules_of(text: str) -> Any:  # noqa: ANN401 zcbor has no types
    """The rules of a CDDL text, by name."""
    return zcbor.DataTranslator.from_cddl(text, 1000).my_types


def rule(file: str, name: str) -> Any:  # noqa: ANN401 zcbor has no types
    """A rule of one CDDL file, the common ones before it."""
    text = (CDDL / "common.cddl").read_text() + (CDDL / file).read_text()
    return rules_of(text)[name]


def conforms(file: str, name: str, raw: bytes) -> bool:
    """Whether ``raw`` is what the rule describes."""
    try:
        rule(file, name).validate_obj(json.loads(raw) if raw[:1] == b"{" else load(raw))
    except (Invalid, PeerError):
        return False
    return True


def device() -> FakeDevice:
    """A device with a sync proof and something measured."""
    made = FakeDevice()
    made.sync(make_handle())
    made.run(b"/usr/bin/true", b"true")
    made.measure_file("cel/app", "/etc/app.conf", b"x")
    made.tell(TransitionKind.SUSPEND)
    return made


def endorsement() -> bytes:
    """An endorsement of the device's key."""
    made = device()
    vouched = Endorsement(
        ueid=made.ueid, attesting_key=made.public, version=1, signer="e", not_before_s=0, not_after_s=9
    )
    return sign_endorsement(vouched, made.raw_public, KEY)


def reference_values() -> bytes:
    """PCRs, files, and a key that signs files."""
    return sign_reference_values(make_references(device(), keys=(file_key(KEY),)), KEY)


zcbor_internals.loads = load
