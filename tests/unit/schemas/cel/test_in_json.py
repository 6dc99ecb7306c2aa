"""CEL records in JSON: the text of each content, names and numbers, sequences, and what is refused."""

import json

import pytest

from schemas.cel.in_json import encode_record, parse_array, parse_record, split_sequence
from schemas.cel.records import (
    ApplicationContent,
    CelRecord,
    Content,
    ImaContent,
    ManagementContent,
    ManagementEvent,
    OpaqueContent,
    PcClientContent,
    SystemdContent,
)
from schemas.errors import PeerError
from schemas.reasons import Reason

CONTENTS: list[tuple[Content, object, object]] = [
    (
        ManagementContent(event=ManagementEvent.CEL_VERSION, values=(1, 2)),
        "cel",
        {"type": "cel_version", "data": {"major": 1, "minor": 2}},
    ),
    (ManagementContent(event=ManagementEvent.FIRMWARE_END), "cel", {"type": "firmware_end"}),
    (
        ManagementContent(event=ManagementEvent.CEL_TIMESTAMP, values=(0,)),
        "cel",
        {"type": "cel_timestamp", "data": 0},
    ),
    *(
        (
            ManagementContent(event=ManagementEvent.STATE_TRANS, values=(number,)),
            "cel",
            {"type": "state_trans", "data": name},
        )
        for number, name in enumerate(("suspend", "hibernate", "kexec"))
    ),
    (PcClientContent(event_type=3, data=b"\x0a"), "pcclient_std", {"event_type": 3, "event_data": "0a"}),
    (ImaContent(name="ima-ng", data=b"\x0a"), "ima_template", {"template_name": "ima-ng", "template_data": "0a"}),
    (OpaqueContent(content_type=8, data=b"\x0a"), "ima_tlv", "0a"),
    (OpaqueContent(content_type=200, data=b"\x0a"), 200, "0a"),
    (
        SystemdContent(event_type="e", boot_id="b", timestamp=5, string="ü"),
        "systemd",
        {"eventType": "e", "bootId": "b", "timestamp": 5, "string": "ü"},
    ),
    (SystemdContent(timestamp=0), "systemd", {"timestamp": 0}),
    (SystemdContent(), "systemd", {}),
    (
        ApplicationContent(event_type="e", name="n", digest=bytes(32)),
        "application",
        {"type": "e", "name": "n", "digest": "00" * 32},
    ),
]
ITEMS: dict[str, object] = {
    "recnum": 7,
    "pcr": 16,
    "digests": [{"hashAlg": "sha256", "digest": "02" * 32}, {"hashAlg": 80, "digest": "ff"}],
    "content_type": "ima_tlv",
    "content": "0a",
}
DIGESTS = ((11, b"\x02" * 32), (80, b"\xff"))


def text(items: object) -> bytes:
    return json.dumps(items, separators=(",", ":"), ensure_ascii=False).encode()


def parsed(**changes: object) -> CelRecord:
    return parse_record(text({**ITEMS, **changes}))


def refused(raw: bytes) -> str:
    with pytest.raises(PeerError) as caught:
        parse_record(raw)
    assert caught.value.reason is Reason.LOG_MALFORMED
    return caught.value.detail


def record(content: Content, **changes: object) -> CelRecord:
    values: dict[str, object] = {"recnum": 7, "pcr": 16, "digests": DIGESTS, "content": content, **changes}
    return CelRecord(**values)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(("content", "kind", "encoded"), CONTENTS)
def test_each_content_has_its_text(content: Content, kind: object, encoded: object) -> None:
    raw = text({**ITEMS, "content_type": kind, "content": encoded})
    assert parse_record(raw) == record(content)
    written = encode_record(record(content))
    if kind == "application":
        raw = raw.replace(b'"application"', b'"attestream"')
    assert written == raw
    assert parse_record(written) == record(content)


def test_a_record_of_an_nv_index_and_one_without_a_number() -> None:
    made = record(OpaqueContent(content_type=8, data=b"\x0a"), recnum=None, pcr=None, nv_index=0x01000000)
    items = {"nv_index": 0x01000000, **{key: ITEMS[key] for key in ("digests", "content_type", "content")}}
    assert encode_record(made) == text(items)
    assert parse_record(text(items)) == made


def test_a_name_may_be_a_number_and_its_case_does_not_matter() -> None:
    assert parsed(content_type=8) == parsed() == parsed(content_type="IMA_TLV")
    assert parsed(digests=[{"hashAlg": 11, "digest": "02" * 32}]).digests == DIGESTS[:1]
    assert parsed(digests=[{"hashAlg": "SHA256", "digest": "02" * 32}]).digests == DIGESTS[:1]
    for kind, data, values in (
        ("CEL_VERSION", [1, 2], (1, 2)),
        (1, {"major": 1, "minor": 2}, (1, 2)),
        (80, 5, (5,)),
        (81, 2, (2,)),
        ("State_Trans", "KEXEC", (2,)),
    ):
        content = parsed(content_type="cel", content={"type": kind, "data": data}).content
        assert isinstance(content, ManagementContent)
        assert content.values == values


# PC Client Platform Firmware Profile 1.05, 10.4.1.
FIRMWARE_EVENTS = {
    **{
        f"EV_{name}": number
        for number, name in enumerate(
            (
                *("PREBOOT_CERT", "POST_CODE", "UNUSED", "NO_ACTION", "SEPARATOR", "ACTION", "EVENT_TAG"),
                *("S_CRTM_CONTENTS", "S_CRTM_VERSION", "CPU_MICROCODE", "PLATFORM_CONFIG_FLAGS", "TABLE_OF_DEVICES"),
                *("COMPACT_HASH", "IPL", "IPL_PARTITION_DATA", "NONHOST_CODE", "NONHOST_CONFIG", "NONHOST_INFO"),
                *("OMIT_BOOT_DEVICE_EVENTS", "POST_CODE2"),
            )
        )
    },
    "EV_EFI_VARIABLE_DRIVER_CONFIG": 0x80000001,
    "EV_EFI_VARIABLE_BOOT": 0x80000002,
    "EV_EFI_BOOT_SERVICES_APPLICATION": 0x80000003,
    "EV_EFI_BOOT_SERVICES_DRIVER": 0x80000004,
    "EV_EFI_RUNTIME_SERVICES_DRIVER": 0x80000005,
    "EV_EFI_GPT_EVENT": 0x80000006,
    "EV_EFI_ACTION": 0x80000007,
    "EV_EFI_PLATFORM_FIRMWARE_BLOB": 0x80000008,
    "EV_EFI_HANDOFF_TABLES": 0x80000009,
    "EV_EFI_PLATFORM_FIRMWARE_BLOB2": 0x8000000A,
    "EV_EFI_HANDOFF_TABLES2": 0x8000000B,
    "EV_EFI_VARIABLE_BOOT2": 0x8000000C,
    "EV_EFI_GPT_EVENT2": 0x8000000D,
    "EV_EFI_HCRTM_EVENT": 0x80000010,
    "EV_EFI_VARIABLE_AUTHORITY": 0x800000E0,
    "EV_EFI_SPDM_FIRMWARE_BLOB": 0x800000E1,
    "EV_EFI_SPDM_FIRMWARE_CONFIG": 0x800000E2,
}


def test_firmware_events_have_their_names() -> None:
    for name, number in FIRMWARE_EVENTS.items():
        read = parsed(content_type="pcclient_std", content={"event_type": name, "event_data": ""})
        assert read.content == PcClientContent(event_type=number, data=b""), name


@pytest.mark.parametrize("key", ["digests", "content_type", "content"])
def test_a_record_has_all_required_members(key: str) -> None:
    assert f"key {key!r} is missing" in refused(text({each: ITEMS[each] for each in ITEMS if each != key}))


def content(kind: str, **members: object) -> dict[str, object]:
    return {"content_type": kind, "content": members}


@pytest.mark.parametrize(
    "changes",
    [
        {"other": 0},
        {"recnum": -1},
        {"recnum": "7"},
        {"pcr": "16"},
        {"nv_index": "16777216"},
        {"digests": {}},
        {"digests": [{"hashAlg": 11}]},
        {"digests": [{"digest": "ff"}]},
        {"digests": [{"hashAlg": 80, "digest": "ff", "other": 0}]},
        {"digests": [{"hashAlg": "sha3", "digest": "ff"}]},
        {"digests": [{"hashAlg": None, "digest": "ff"}]},
        {"digests": [{"hashAlg": 80, "digest": 5}]},
        {"digests": [{"hashAlg": 80, "digest": "f"}]},
        {"digests": [{"hashAlg": 80, "digest": "f f"}]},
        {"digests": [{"hashAlg": 80, "digest": "ff "}]},
        {"content_type": 0},
        {"content_type": 256},
        {"content_type": True},
        {"content": "0"},
        {"content": ["0a"]},
        content("cel"),
        content("cel", type=3),
        content("cel", type="firmware_begin"),
        content("cel", type="firmware_end", data=1),
        content("cel", type="firmware_end", other=1),
        content("cel", type="cel_timestamp"),
        content("cel", type="cel_timestamp", data="5"),
        content("cel", type="cel_version"),
        content("cel", type="cel_version", data=[1]),
        content("cel", type="cel_version", data=[1, 2, 3]),
        content("cel", type="cel_version", data=[1, "2"]),
        content("cel", type="cel_version", data={"major": 1}),
        content("cel", type="cel_version", data={"minor": 1}),
        content("cel", type="cel_version", data={"major": 1, "minor": 2, "patch": 3}),
        content("cel", type="cel_version", data={"major": "1", "minor": 2}),
        content("cel", type="cel_version", data={"major": 1, "minor": "2"}),
        content("cel", type="state_trans"),
        content("cel", type="state_trans", data="reboot"),
        content("cel", type="state_trans", data=3),
        content("pcclient_std", event_type=3),
        content("pcclient_std", event_data=""),
        content("pcclient_std", event_type=3, event_data="", other=0),
        content("pcclient_std", event_type="EV_OTHER", event_data=""),
        content("pcclient_std", event_type=3, event_data="x"),
        content("ima_template", template_name="n"),
        content("ima_template", template_data=""),
        content("ima_template", template_name="n", template_data="", other=0),
        content("ima_template", template_name=5, template_data=""),
        content("ima_template", template_name="n", template_data="x"),
        {"content_type": "systemd", "content": []},
        content("systemd", eventType=5),
        content("systemd", bootId=5),
        content("systemd", timestamp="5"),
        content("systemd", string=5),
        content("application", type="e", name="n"),
        content("application", type="e", digest="00" * 32),
        content("application", name="n", digest="00" * 32),
        content("application", type="e", name="n", digest="00" * 32, other=0),
        content("application", type=5, name="n", digest="00" * 32),
        content("application", type="e", name=5, digest="00" * 32),
        content("application", type="e", name="n", digest=5),
    ],
)
def test_members_of_another_form_are_refused(changes: dict[str, object]) -> None:
    refused(text({**ITEMS, **changes}))


def test_unknown_members_of_systemds_content_are_ignored() -> None:
    assert parsed(**content("systemd", string="s", other=[1])).content == SystemdContent(string="s")


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1.5", "number '1.5': expected an integer"),
        (b"NaN", "number 'NaN'"),
        (b"1e" + b"0" * 50, f"number '1e{'0' * 38}'"),
        (b'{"pcr":1,"pcr":2}', "the same key twice"),
        (b'{"content":{"a":1,"a":1}}', "the same key twice"),
        (b" " * 131_073, "131073 bytes, the limit is 131072"),
        (b" " * 131_072, "not JSON"),
    ],
)
def test_text_that_is_no_strict_json_is_refused(raw: bytes, complaint: str) -> None:
    assert complaint in refused(raw)


def test_what_is_unknown_is_named_in_short() -> None:
    assert f"hashAlg '{'x' * 40}': unknown" in refused(
        text({**ITEMS, "digests": [{"hashAlg": "x" * 41, "digest": "ff"}]})
    )


# ── sequences and arrays ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_text_of_a_sequence_ends_with_a_line_feed() -> None:
    one, two = b"\x1e[1]\n", b"\x1e[2]\n"
    assert split_sequence(b"") == ((), b"")
    assert split_sequence(one) == ((b"[1]\n",), b"")
    assert split_sequence(one + two) == ((b"[1]\n", b"[2]\n"), b"")
    assert split_sequence(one + two[:-1]) == ((b"[1]\n",), b"\x1e[2]")
    assert split_sequence(b"\x1e[1]" + two) == ((b"[1]", b"[2]\n"), b"")  # the next separator ends it, too
    assert split_sequence(one + b"\x1e") == ((b"[1]\n",), b"")
    assert split_sequence(b"\x1e\x1e \n\x1e[1]\n") == ((b"[1]\n",), b"")  # RFC 7464, 2.1: empty texts


def test_a_sequence_begins_with_a_separator_and_its_texts_are_limited() -> None:
    for data in (b"x\x1e[1]\n", b"[1]\n"):
        with pytest.raises(PeerError, match="begins with a record separator") as caught:
            split_sequence(data)
        assert caught.value.reason is Reason.LOG_MALFORMED
    fits = b"x" * 131_071 + b"\n"
    assert split_sequence(b"\x1e" + fits + b"\x1e[1]\n") == ((fits, b"[1]\n"), b"")
    for data in (b"\x1ex" + fits, b"\x1ex" + fits + b"\x1e[1]\n", b"\x1e[1]\n\x1e" + b"x" * 131_073):
        with pytest.raises(PeerError, match="more than 131072 bytes in one text") as caught:
            split_sequence(data)
        assert caught.value.reason is Reason.LOG_MALFORMED


def test_a_log_may_be_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = text(ITEMS)
    made = parse_record(raw)
    assert parse_array(b"[]") == ()
    assert parse_array(b"[" + raw + b"," + raw + b"]") == (made, made)
    for data in (raw, b"[" + raw, b"[" + raw + b",1]"):
        with pytest.raises(PeerError) as caught:
            parse_array(data)
        assert caught.value.reason is Reason.LOG_MALFORMED
    monkeypatch.setattr("schemas.limits.MAX_BOOT_LOG_BYTES", len(raw) + 2)
    assert parse_array(b"[" + raw + b"]") == (made,)
    with pytest.raises(PeerError, match=f"{len(raw) + 3} bytes, the limit is {len(raw) + 2}"):
        parse_array(b"[" + raw + b" ]")
    monkeypatch.setattr("schemas.limits.MAX_LOG_ENTRIES", 1)
    monkeypatch.setattr("schemas.limits.MAX_BOOT_LOG_BYTES", 10_000)
    with pytest.raises(PeerError, match="2 items, the limit is 1") as caught:
        parse_array(b"[" + raw + b"," + raw + b"]")
    assert caught.value.reason is Reason.LOG_MALFORMED
