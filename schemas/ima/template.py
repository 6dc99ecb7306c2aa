"""IMA templates: cuts the template data of an entry into its fields.

This covers the built-in templates, and custom templates whose name is their list of fields (``ima_template_fmt=``). The
fields are checked: a path has one NUL, at its end, and a digest has the size of its algorithm.

No PCR binds a template's name. So anyone who carries a list can change the name and have the same data read as other
fields. Therefore :func:`field_names` knows only templates whose first field is the file's digest, or whose first two
are its path and its digest: no other field, whose bytes a user of the device might choose, can be taken for the
digest.

Source: Linux ``security/integrity/ima`` (``ima_template.c``, ``ima_template_lib.c``).
"""

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from schemas.errors import PeerError
from schemas.hashes import BY_NAME, SHA1
from schemas.reasons import Reason

TEMPLATE_IMA: Final = b"ima"  # the only template without a length before its data, and with a hash of its own
BOOT_AGGREGATE: Final = b"boot_aggregate"  # ima.h, IMA boot aggregate: the name of the first entry of a list
MAX_NAME_BYTES: Final = 255
EVENT_NAME_BYTES: Final = 256  # ima.h, IMA_EVENT_NAME_LEN_MAX + 1: template "ima" hashes the path padded to this size

# ima_template.c, builtin_templates. The first field is the file's digest, the second its path.
_BUILT_IN: Final = {
    TEMPLATE_IMA: ("d", "n"),
    b"ima-ng": ("d-ng", "n-ng"),
    b"ima-sig": ("d-ng", "n-ng", "sig"),
    b"ima-ngv2": ("d-ngv2", "n-ng"),
    b"ima-sigv2": ("d-ngv2", "n-ng", "sig"),
    b"ima-buf": ("d-ng", "n-ng", "buf"),
    b"ima-modsig": ("d-ng", "n-ng", "sig", "d-modsig", "modsig"),
    b"evm-sig": ("d-ng", "n-ng", "evmsig", "xattrnames", "xattrlengths", "xattrvalues", "iuid", "igid", "imode"),
}
BUILT_IN_TEMPLATES: Final = frozenset(_BUILT_IN)
DIGEST_FIELDS: Final = frozenset({"d", "d-ng", "d-ngv2"})
NAME_FIELDS: Final = frozenset({"n", "n-ng"})
UINT_FIELDS: Final = {"iuid": 4, "igid": 4, "imode": 2}  # bytes
# ima_template.c, supported_fields
_FIELDS: Final = frozenset(
    {*DIGEST_FIELDS, *NAME_FIELDS, *UINT_FIELDS}
    | {"sig", "buf", "d-modsig", "modsig", "evmsig", "xattrnames", "xattrlengths", "xattrvalues"}
)
_TYPES: Final = frozenset({b"ima", b"verity"})  # ima_template_lib.c, digest_type_name
_SIZE: Final = struct.Struct("<I")


class FileDigest(NamedTuple):
    """A file's digest and its kind.

    Attributes:
        label: ``sha256``; in templates that state the kind ``ima:sha256`` or ``verity:sha256``; empty for no digest.
        digest: has the algorithm's size, if we know the algorithm.
    """

    label: bytes
    digest: bytes


NO_DIGEST: Final = FileDigest(b"", b"")


@lru_cache(maxsize=64)
def field_names(template: bytes) -> tuple[str, ...]:
    """The fields of a template; empty for an unknown template."""
    if template in _BUILT_IN:
        return _BUILT_IN[template]
    names = tuple(template.decode("ascii", "replace").split("|"))
    known = len(set(names)) == len(names) and _FIELDS.issuperset(names)
    if not known or len(DIGEST_FIELDS.intersection(names)) != 1 or len(NAME_FIELDS.intersection(names)) > 1:
        return ()
    first = names[1] if names[0] in NAME_FIELDS else names[0]
    return names if first in DIGEST_FIELDS and NAME_FIELDS.intersection(names) else ()


def cut_fields(template: bytes, data: bytes) -> dict[str, bytes]:
    """Cuts the data of one entry into its fields, the path without its NUL. Empty for an unknown template.

    Args:
        template: name of the template.
        data: the bytes that the template hash covers.

    Raises:
        PeerError: ``log-malformed``.
    """
    if template == TEMPLATE_IMA:
        return {"d": data[: SHA1.size], "n": data[SHA1.size :].rstrip(b"\0")}
    names = field_names(template)
    fields = {}
    offset = 0
    for name in names:
        start = offset + 4
        if start > len(data):
            raise _malformed(f"no {name}")
        (size,) = _SIZE.unpack_from(data, offset)
        offset = start + size
        if offset > len(data):
            raise _malformed(f"{name} is cut short")
        fields[name] = data[start:offset]
    if names and offset != len(data):
        raise _malformed(f"{len(data) - offset} bytes after the last field")
    for name in NAME_FIELDS & fields.keys():
        if not fields[name] or fields[name].find(b"\0") != len(fields[name]) - 1:
            raise _malformed("the path has no NUL at its end" if b"\0" not in fields[name] else "a NUL in the path")
        fields[name] = fields[name][:-1]
    return fields


def path_of(fields: dict[str, bytes]) -> bytes:
    """The path of an entry; empty if it has none."""
    return fields.get("n-ng", fields.get("n", b""))


def digest_of(fields: dict[str, bytes], *, violation: bool = False) -> FileDigest:
    """The file's digest of an entry.

    Args:
        fields: the result of :func:`cut_fields`.
        violation: whether the entry is a violation; its digest is zeros, how many differs between kernels.

    Raises:
        PeerError: ``log-malformed`` for a digest without a valid label, or of another size than its algorithm's.
    """
    if "d" in fields:
        label, digest, typed = SHA1.name.encode(), fields["d"], False
    else:
        typed = "d-ngv2" in fields
        field = fields.get("d-ngv2", fields.get("d-ng"))
        if field is None:
            return NO_DIGEST
        label, separator, digest = field.partition(b":\0")
        if not separator:
            raise _malformed("a digest without the name of its algorithm")
    kind, colon, name = label.rpartition(b":")
    if bool(colon) is not typed or (typed and kind not in _TYPES):
        raise _malformed(f"a digest labelled {label[:32]!r}")
    algorithm = BY_NAME.get(name.decode("ascii", "replace"))
    if algorithm is not None and len(digest) != algorithm.size and not violation:
        raise _malformed(f"{algorithm.name} digest of {len(digest)} bytes")
    return FileDigest(label, digest)


def _malformed(detail: str) -> PeerError:
    return PeerError(Reason.LOG_MALFORMED, f"IMA list: template data: {detail}")
