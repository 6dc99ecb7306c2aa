"""CEL records at their limits, what they extend, and which content a quote vouches for."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from schemas.cel.records import (
    FIRST_NV_INDEX,
    LAST_NV_INDEX,
    ApplicationContent,
    CelRecord,
    Content,
    ContentType,
    ImaContent,
    ManagementContent,
    ManagementEvent,
    OpaqueContent,
    PcClientContent,
    SystemdContent,
    application_record,
    check_record,
    content_type,
    is_content_bound,
    numbered,
)
from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, SHA1, SHA256
from schemas.reasons import Reason

APPLICATION = ApplicationContent(event_type="a", name="b", digest=bytes(32))


def record(content: Content = APPLICATION, **changes: object) -> CelRecord:
    values: dict[str, object] = {"recnum": 0, "pcr": 16, "digests": (), "content": content, **changes}
    return CelRecord(**values)  # type: ignore[arg-type]  # fields by name


def refused(make: Callable[[], object]) -> str:
    with pytest.raises(PeerError) as caught:
        make()
    assert caught.value.reason is Reason.LOG_MALFORMED
    return caught.value.detail


def test_types_and_events_have_the_numbers_of_the_standard() -> None:
    """CEL 1.1; the last type is ours."""
    assert {each.name: each.value for each in ContentType} == {
        "CEL": 4,
        "PCCLIENT_STD": 5,
        "IMA_TEMPLATE": 7,
        "IMA_TLV": 8,
        "SYSTEMD": 9,
        "APPLICATION": 167,
    }
    assert {each.name: each.value for each in ManagementEvent} == {
        "CEL_VERSION": 1,
        "FIRMWARE_END": 2,
        "CEL_TIMESTAMP": 80,
        "STATE_TRANS": 81,
    }
    assert (FIRST_NV_INDEX, LAST_NV_INDEX) == (0x01000000, 0x01FFFFFF)


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (ManagementContent(event=ManagementEvent.FIRMWARE_END), 4),
        (PcClientContent(event_type=4, data=b""), 5),
        (ImaContent(name="ima-ng", data=b""), 7),
        (SystemdContent(), 9),
        (APPLICATION, 167),
        (OpaqueContent(content_type=8, data=b""), 8),
        (OpaqueContent(content_type=1, data=b""), 1),
        (OpaqueContent(content_type=255, data=b""), 255),
    ],
)
def test_content_has_the_number_of_its_type(content: Content, number: int) -> None:
    assert content_type(content) == number


# ── content ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("event", "values"),
    [
        (ManagementEvent.CEL_VERSION, (0, 2**64 - 1)),
        (ManagementEvent.FIRMWARE_END, ()),
        (ManagementEvent.CEL_TIMESTAMP, (2**64 - 1,)),
        (ManagementEvent.CEL_TIMESTAMP, (0,)),
        *((ManagementEvent.STATE_TRANS, (kind,)) for kind in range(3)),
    ],
)
def test_a_management_event_has_its_values(event: ManagementEvent, values: tuple[int, ...]) -> None:
    assert ManagementContent(event=event, values=values).values == values


@pytest.mark.parametrize(
    ("event", "values", "complaint"),
    [
        (ManagementEvent.CEL_VERSION, (), "cel_version: 0 values"),
        (ManagementEvent.CEL_VERSION, (1,), "cel_version: 1 values"),
        (ManagementEvent.CEL_VERSION, (1, 2, 3), "cel_version: 3 values"),
        (ManagementEvent.CEL_VERSION, (1, -1), "cel_version: 2 values"),
        (ManagementEvent.FIRMWARE_END, (1,), "firmware_end: 1 values"),
        (ManagementEvent.CEL_TIMESTAMP, (), "cel_timestamp: 0 values"),
        (ManagementEvent.CEL_TIMESTAMP, (2**64,), "cel_timestamp: 1 values"),
        (ManagementEvent.STATE_TRANS, (), "state_trans: 0 values"),
        (ManagementEvent.STATE_TRANS, (3,), "state_trans 3: expected one of 0, 1, 2"),
    ],
)
def test_a_management_event_has_no_other_values(
    event: ManagementEvent, values: tuple[int, ...], complaint: str
) -> None:
    assert refused(lambda: ManagementContent(event=event, values=values)) == f"CEL record: {complaint}"


@pytest.mark.parametrize(
    ("at_limit", "beyond"),
    [
        (lambda: PcClientContent(event_type=0, data=b""), lambda: PcClientContent(event_type=-1, data=b"")),
        (
            lambda: PcClientContent(event_type=2**32 - 1, data=b""),
            lambda: PcClientContent(event_type=2**32, data=b""),
        ),
        (lambda: ImaContent(name="n" * 255, data=b""), lambda: ImaContent(name="n" * 256, data=b"")),
        (lambda: ImaContent(name="ü" * 127, data=b""), lambda: ImaContent(name="ü" * 128, data=b"")),
        (lambda: SystemdContent(event_type="e" * 255), lambda: SystemdContent(event_type="e" * 256)),
        (lambda: SystemdContent(boot_id="b" * 255), lambda: SystemdContent(boot_id="b" * 256)),
        (lambda: SystemdContent(string="s" * 65536), lambda: SystemdContent(string="s" * 65537)),
        (lambda: SystemdContent(timestamp=0), lambda: SystemdContent(timestamp=-1)),
        (lambda: SystemdContent(timestamp=2**64 - 1), lambda: SystemdContent(timestamp=2**64)),
        (lambda: SystemdContent(string=""), lambda: SystemdContent(string="\ud800")),
        (lambda: replace(APPLICATION, event_type="e" * 255), lambda: replace(APPLICATION, event_type="e" * 256)),
        (lambda: replace(APPLICATION, name="n" * 4096), lambda: replace(APPLICATION, name="n" * 4097)),
        (lambda: replace(APPLICATION, name="n"), lambda: replace(APPLICATION, name="")),
        (lambda: replace(APPLICATION, event_type="e"), lambda: replace(APPLICATION, event_type="")),
        (lambda: replace(APPLICATION, digest=b"d" * 32), lambda: replace(APPLICATION, digest=b"d" * 31)),
        (lambda: replace(APPLICATION, digest=b"d" * 32), lambda: replace(APPLICATION, digest=b"d" * 33)),
        (lambda: OpaqueContent(content_type=1, data=b""), lambda: OpaqueContent(content_type=0, data=b"")),
        (lambda: OpaqueContent(content_type=255, data=b""), lambda: OpaqueContent(content_type=256, data=b"")),
        *(
            (
                lambda: OpaqueContent(content_type=8, data=b""),
                lambda number=number: OpaqueContent(content_type=number, data=b""),
            )
            for number in (4, 5, 7, 9, 167)
        ),
    ],
)
def test_content_is_limited(at_limit: Callable[[], object], beyond: Callable[[], object]) -> None:
    at_limit()
    refused(beyond)


def test_the_fields_of_an_error_are_named() -> None:
    assert "template name: 256 bytes, the limit is 255" in refused(lambda: ImaContent(name="n" * 256, data=b""))
    assert "systemd content: not Unicode" in refused(lambda: SystemdContent(string="\ud800"))
    assert "type: 256 bytes" in refused(lambda: replace(APPLICATION, event_type="e" * 256))
    assert "name: 4097 bytes" in refused(lambda: replace(APPLICATION, name="n" * 4097))


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("at_limit", "beyond", "complaint"),
    [
        ({"recnum": 2**64 - 1}, {"recnum": 2**64}, "recnum"),
        ({"recnum": None}, {"recnum": -1}, "recnum -1"),
        ({"pcr": 0}, {"pcr": -1}, "PCR -1: expected 0 to 23"),
        ({"pcr": 23}, {"pcr": 24}, "PCR 24"),
        ({"pcr": None, "nv_index": 0x01000000}, {"pcr": None, "nv_index": 0x00FFFFFF}, "NV index 0xffffff"),
        ({"pcr": None, "nv_index": 0x01FFFFFF}, {"pcr": None, "nv_index": 0x02000000}, "NV index"),
        ({"pcr": None, "nv_index": 0x20000000}, {"pcr": None, "nv_index": 0x1FFFFFFF}, "NV index"),
        ({"pcr": None, "nv_index": 0x20FFFFFF}, {"pcr": None, "nv_index": 0x21000000}, "NV index"),
        ({"pcr": 0}, {"pcr": None}, "either a PCR or an NV index"),
        ({"pcr": 0}, {"pcr": 0, "nv_index": 0x01000000}, "either a PCR or an NV index"),
        ({"digests": ((0x50, b"x"),)}, {"digests": ((0x50, b""),)}, "digest of 0 bytes for algorithm 0x0050"),
        ({"digests": ((0x50, b"x" * 64),)}, {"digests": ((0x50, b"x" * 65),)}, "digest of 65 bytes"),
        ({"digests": ((1, b"x"),)}, {"digests": ((0, b"x"),)}, "algorithm 0x0000"),
        ({"digests": ((2**16 - 1, b"x"),)}, {"digests": ((2**16, b"x"),)}, "algorithm 0x10000"),
        ({"digests": ((11, bytes(32)),)}, {"digests": ((11, bytes(33)),)}, "sha256 digest of 33 bytes"),
        (
            {"digests": tuple((0x50 + number, b"x") for number in range(8))},
            {"digests": tuple((0x50 + number, b"x") for number in range(9))},
            "9 digests, the limit is 8",
        ),
        ({"digests": ((4, bytes(20)),)}, {"digests": ((4, bytes(20)),) * 2}, "two digests of the same algorithm"),
    ],
)
def test_a_record_is_limited(at_limit: dict[str, object], beyond: dict[str, object], complaint: str) -> None:
    record(**at_limit)  # type: ignore[arg-type]  # fields by name
    assert complaint in refused(lambda: record(**beyond))  # type: ignore[arg-type]


def test_a_record_counts_in_its_pcr_or_nv_index() -> None:
    assert record(pcr=0).index == 0
    assert record(pcr=23).index == 23
    assert record(pcr=None, nv_index=0x01000002).index == 0x01000002


def test_records_without_a_number_get_the_next_one_of_their_index() -> None:
    records = [
        record(recnum=None, pcr=1),
        record(recnum=None, pcr=2),
        record(recnum=9, pcr=1),
        record(recnum=None, pcr=1),
        record(recnum=None, pcr=None, nv_index=0x01000000),
    ]
    counts = {2: 5}
    assert [each.recnum for each in numbered(records, counts)] == [0, 5, 9, 2, 0]
    assert counts == {1: 3, 2: 6, 0x01000000: 1}


# ── what a quote vouches for ─────────────────────────────────────────────────────────────────────────────────────────


def digests(message: bytes, *others: tuple[int, bytes]) -> tuple[tuple[int, bytes], ...]:
    return (*((bank.tpm_id, bank.digest(message)) for bank in (SHA1, SHA256)), *others)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (APPLICATION, APPLICATION.encode()),
        (SystemdContent(string="grüße", event_type="phase"), "grüße".encode()),
        (SystemdContent(string=""), b""),
        (ImaContent(name="ima-ng", data=b"data"), b"data"),
    ],
)
def test_content_is_bound_if_all_known_digests_are_its_own(content: Content, message: bytes) -> None:
    good = digests(message)
    assert is_content_bound(record(content, digests=good))
    assert is_content_bound(record(content, digests=good[:1]))
    assert is_content_bound(record(content, digests=(*good, (0x50, b"x"))))
    assert not is_content_bound(record(content, digests=(good[0], (SHA256.tpm_id, bytes(32)))))
    assert not is_content_bound(record(content, digests=((SHA1.tpm_id, bytes(20)), good[1])))
    assert not is_content_bound(record(content, digests=((0x50, b"x"),)))
    assert not is_content_bound(record(content, digests=()))


@pytest.mark.parametrize(
    "content",
    [
        SystemdContent(),
        PcClientContent(event_type=4, data=b"data"),
        OpaqueContent(content_type=8, data=b"data"),
        ManagementContent(event=ManagementEvent.STATE_TRANS, values=(0,)),
    ],
)
def test_other_content_is_never_bound(content: Content) -> None:
    assert is_content_bound(record(content, digests=digests(b"data"))) is False
    check_record(record(content, digests=digests(b"data")))


def test_only_our_own_records_must_have_the_digests_of_their_content() -> None:
    check_record(record(digests=digests(APPLICATION.encode())))
    check_record(record(SystemdContent(string="a"), digests=digests(b"b")))
    assert "not those of its content" in refused(lambda: check_record(record(digests=digests(b"x"))))


def test_a_measured_file_has_a_digest_in_each_known_bank() -> None:
    every = tuple(bank.tpm_id for bank in HASH_ALGORITHMS)
    made = application_record(23, APPLICATION, (*every, 0x12), 5)
    message = APPLICATION.encode()
    assert made == record(
        pcr=23, recnum=5, digests=tuple((each.tpm_id, each.digest(message)) for each in HASH_ALGORITHMS)
    )
