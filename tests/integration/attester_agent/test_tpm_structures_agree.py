"""Our reading of TPM structures agrees with a TPM (libtpms), with tpm2-tss's unmarshalling, tpm2-tools and openssl."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.errors import PeerError
from schemas.hashes import BY_TPM_ID, SHA1, SHA256, SHA384, HashAlgorithm
from schemas.reasons import Reason
from schemas.tpm.attest import Attest, AttestType, ClockInfo, QuoteInfo, TimeAttestInfo, parse_attest
from schemas.tpm.pcr import (
    PcrSelection,
    PcrValues,
    composite_digest,
    encode_selection,
    extend,
    initial_value,
    parse_selection,
    parse_selection_text,
    selection_text,
)
from schemas.tpm.public import (
    TPM_RH_ENDORSEMENT,
    TPM_RH_OWNER,
    TPM_RH_PLATFORM,
    TpmPublic,
    check_attestation_key,
    parse_sized_public,
    qualified_name,
)
from schemas.tpm.signature import SignatureScheme, parse_signature, verify_signature
from tests.programs.swtpm import Swtpm, running_swtpm
from tests.programs.waiting import PATIENCE_S

tpm2_pytss = pytest.importorskip("tpm2_pytss", reason="tpm2-pytss (libtss2) is not installed")

Untyped = Any  # an object of tpm2-pytss, which carries no types

pytestmark = pytest.mark.needs("swtpm")

SELECTION = "sha256:0,1,7,17,23+sha1:0,10"
NONCE = bytes(range(32))
RESTRICTED_SIGNING = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign"
HIERARCHIES = {"endorsement": TPM_RH_ENDORSEMENT, "owner": TPM_RH_OWNER, "platform": TPM_RH_PLATFORM}
KINDS = {
    "ecc:ecdsa-sha256:null": (SignatureScheme.ECDSA, SHA256),
    "rsa2048:rsassa-sha256:null": (SignatureScheme.RSASSA, SHA256),
    "rsa2048:rsapss-sha256:null": (SignatureScheme.RSAPSS, SHA256),
    "ecc384:ecdsa-sha384:null": (SignatureScheme.ECDSA, SHA384),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a TPM said, and what tpm2-tss reads in it."""

    raw: bytes
    signature: bytes
    tss: Untyped


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """A key, and what it signed before and after the registers moved."""

    kind: str
    hierarchy: str
    public: bytes
    name: bytes
    qualified_name: bytes
    quote: Statement
    time: Statement
    values: PcrValues


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swtpm]:
    with running_swtpm(tmp_path_factory.mktemp("tpm")) as running:
        yield running


def said(attest: Untyped, signature: Untyped) -> Statement:
    tss, _ = tpm2_pytss.TPMS_ATTEST.unmarshal(bytes(attest))
    return Statement(raw=bytes(attest), signature=signature.marshal(), tss=tss)


def create_key(esapi: Untyped, kind: str, hierarchy: str) -> tuple[Untyped, Untyped]:
    template = tpm2_pytss.TPM2B_PUBLIC.parse(kind, objectAttributes=RESTRICTED_SIGNING)
    above = tpm2_pytss.ESYS_TR.parse(hierarchy)
    handle, public, *_ = esapi.create_primary(tpm2_pytss.TPM2B_SENSITIVE_CREATE(), template, above)
    return handle, public


def read_values(esapi: Untyped, text: str) -> PcrValues:
    """Reads one register at a time, so that the order of an answer does not matter."""
    banks: dict[HashAlgorithm, dict[int, bytes]] = {}
    for bank, index in parse_selection_text(text):
        _, _, digests = esapi.pcr_read(f"{bank.name}:{index}")
        banks.setdefault(bank, {})[index] = bytes(digests[0])
    return PcrValues(banks)


@pytest.fixture(scope="module", params=[(kind, hierarchy) for kind in KINDS for hierarchy in HIERARCHIES], ids="-".join)
def attestation(tpm: Swtpm, request: pytest.FixtureRequest) -> Attestation:
    kind, hierarchy = request.param
    with tpm2_pytss.ESAPI(tpm.tcti) as esapi:
        esapi.pcr_event(tpm2_pytss.ESYS_TR.PCR10, b"an event")
        handle, public = create_key(esapi, kind, hierarchy)
        _, name, its_qualified_name = esapi.read_public(handle)
        time = said(*esapi.get_time(handle, NONCE))
        quote = said(*esapi.quote(handle, SELECTION, NONCE))
        esapi.flush_context(handle)
        return Attestation(
            kind=kind,
            hierarchy=hierarchy,
            public=public.marshal(),
            name=bytes(name),
            qualified_name=bytes(its_qualified_name),
            quote=quote,
            time=time,
            values=read_values(esapi, SELECTION),
        )


def assert_clock_equal(ours: ClockInfo, tss: Untyped) -> None:
    assert ours.clock == tss.clock
    assert ours.reset_count == tss.resetCount
    assert ours.restart_count == tss.restartCount
    assert ours.safe == bool(tss.safe)


def assert_attest_equal(ours: Attest, tss: Untyped) -> None:
    assert ours.type == tss.type
    assert ours.qualified_signer == bytes(tss.qualifiedSigner)
    assert ours.extra_data == bytes(tss.extraData)
    assert ours.firmware_version == tss.firmwareVersion
    assert_clock_equal(ours.clock_info, tss.clockInfo)


def test_names_and_attributes_of_the_key_are_those_of_the_tpm(attestation: Attestation) -> None:
    public = parse_sized_public(attestation.public)
    assert public.name == attestation.name
    assert qualified_name(HIERARCHIES[attestation.hierarchy], public.name) == attestation.qualified_name
    assert public.scheme is not None
    assert (public.scheme.tpm_id, public.scheme.hash) == KINDS[attestation.kind]
    check_attestation_key(public)
    tss, _ = tpm2_pytss.TPM2B_PUBLIC.unmarshal(attestation.public)
    assert int(public.attributes) == int(tss.publicArea.objectAttributes)
    assert pem(public) == tss.to_pem()


def test_every_field_of_the_quote_agrees(attestation: Attestation) -> None:
    tss = attestation.quote.tss
    ours = parse_attest(attestation.quote.raw)
    assert ours.type is AttestType.QUOTE
    assert_attest_equal(ours, tss)
    assert ours.qualified_signer == attestation.qualified_name
    assert ours.extra_data == NONCE
    assert isinstance(ours.attested, QuoteInfo)
    assert selection_text(ours.attested.pcr_selection) == SELECTION
    assert encode_selection(ours.attested.pcr_selection) == tss.attested.quote.pcrSelect.marshal()
    assert ours.attested.pcr_digest == bytes(tss.attested.quote.pcrDigest)


def test_the_composite_uses_the_hash_of_the_signing_scheme(attestation: Attestation) -> None:
    quote = parse_attest(attestation.quote.raw).attested
    assert isinstance(quote, QuoteInfo)
    _, algorithm = KINDS[attestation.kind]
    assert composite_digest(quote.pcr_selection, attestation.values, algorithm) == quote.pcr_digest


def test_every_field_of_the_time_attest_agrees(attestation: Attestation) -> None:
    tss = attestation.time.tss
    ours = parse_attest(attestation.time.raw)
    assert ours.type is AttestType.TIME
    assert_attest_equal(ours, tss)
    assert isinstance(ours.attested, TimeAttestInfo)
    inner = tss.attested.time
    assert ours.attested.time == inner.time.time
    assert ours.attested.firmware_version == inner.firmwareVersion
    assert_clock_equal(ours.attested.clock_info, inner.time.clockInfo)


def test_counters_outside_are_obfuscated_for_keys_of_the_owner_only(attestation: Attestation) -> None:
    ours = parse_attest(attestation.time.raw)
    assert isinstance(ours.attested, TimeAttestInfo)
    inner, outer = ours.attested.clock_info, ours.clock_info
    assert (inner.clock, inner.safe) == (outer.clock, outer.safe)
    assert (inner.reset_count, inner.restart_count) == (1, 0)
    if attestation.hierarchy == "owner":
        assert outer.reset_count != inner.reset_count
        assert outer.restart_count != inner.restart_count
        assert ours.firmware_version != ours.attested.firmware_version
    else:
        assert outer == inner
        assert ours.firmware_version == ours.attested.firmware_version
    quoted = parse_attest(attestation.quote.raw)
    assert quoted.clock_info.reset_count == outer.reset_count
    assert quoted.clock_info.restart_count == outer.restart_count
    assert quoted.firmware_version == ours.firmware_version


def test_signatures_verify_and_no_flipped_byte_does(attestation: Attestation) -> None:
    key = parse_sized_public(attestation.public).public_key()
    for statement in (attestation.quote, attestation.time):
        signature = parse_signature(statement.signature)
        assert (signature.scheme, signature.hash) == KINDS[attestation.kind]
        verify_signature(key, signature, statement.raw, Reason.QUOTE_SIGNATURE_INVALID)
        for position in range(0, len(statement.raw), 5):
            with pytest.raises(PeerError) as caught:
                verify_signature(key, signature, flip(statement.raw, position), Reason.QUOTE_SIGNATURE_INVALID)
            assert caught.value.reason is Reason.QUOTE_SIGNATURE_INVALID
        for position in range(0, len(statement.signature), 3):
            with pytest.raises(PeerError):
                verify_signature(
                    key,
                    parse_signature(flip(statement.signature, position)),
                    statement.raw,
                    Reason.QUOTE_SIGNATURE_INVALID,
                )


def test_the_quote_of_one_key_is_not_that_of_another(attestation: Attestation) -> None:
    signature = parse_signature(attestation.quote.signature)
    key = parse_sized_public(attestation.public).public_key()
    with pytest.raises(PeerError, match="does not verify"):
        verify_signature(key, signature, attestation.time.raw, Reason.QUOTE_SIGNATURE_INVALID)


@pytest.mark.needs("tpm2_checkquote")
def test_tpm2_checkquote_accepts_what_we_accept(attestation: Attestation, tmp_path: Path) -> None:
    if "rsapss" in attestation.kind:
        pytest.skip("tpm2_checkquote of tpm2-tools 5.4 knows no RSAPSS; openssl verifies it below")
    quote = parse_attest(attestation.quote.raw)
    assert isinstance(quote.attested, QuoteInfo)
    (tmp_path / "key.pem").write_bytes(pem(parse_sized_public(attestation.public)))
    (tmp_path / "signature").write_bytes(attestation.quote.signature)
    _, algorithm = KINDS[attestation.kind]
    listed = selection_text(quote.attested.pcr_selection)
    (tmp_path / "values").write_bytes(values_file(quote.attested.pcr_selection, attestation.values))

    def check(message: bytes) -> subprocess.CompletedProcess[str]:
        (tmp_path / "message").write_bytes(message)
        files = ["-u", "key.pem", "-m", "message", "-s", "signature", "-f", "values"]
        command = ["tpm2_checkquote", *files, "-l", listed, "-g", algorithm.name, "-q", NONCE.hex()]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    accepted = check(attestation.quote.raw)
    assert accepted.returncode == 0, accepted.stderr
    assert check(flip(attestation.quote.raw, 60)).returncode != 0


@pytest.mark.needs("openssl")
def test_openssl_verifies_the_signature_as_we_encode_it(attestation: Attestation, tmp_path: Path) -> None:
    signature = parse_signature(attestation.quote.signature)
    (tmp_path / "key.pem").write_bytes(pem(parse_sized_public(attestation.public)))
    (tmp_path / "signature").write_bytes(signature.value)
    (tmp_path / "message").write_bytes(attestation.quote.raw)
    command = ["openssl", "dgst", f"-{signature.hash.name}", "-verify", "key.pem", "-signature", "signature"]
    if signature.scheme is SignatureScheme.RSAPSS:
        command += ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:auto"]
    done = subprocess.run(
        [*command, "message"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.stdout.strip() == "Verified OK", done.stderr


@pytest.mark.needs("tpm2_quote", "tpm2_createprimary")
def test_tpm2_quote_takes_our_text_and_quotes_what_we_meant(tpm: Swtpm, tmp_path: Path) -> None:
    def tool(*command: str) -> None:
        subprocess.run([*command, "-T", tpm.tcti], cwd=tmp_path, capture_output=True, timeout=PATIENCE_S, check=True)
        flush = ["tpm2_flushcontext", "-t", "-T", tpm.tcti]  # no resource manager does it for us
        subprocess.run(flush, capture_output=True, timeout=PATIENCE_S, check=True)

    selection = parse_selection_text("sha256:0-7,16+sha1:10")
    attributes = RESTRICTED_SIGNING
    tool("tpm2_createprimary", "-C", "e", "-G", "ecc:ecdsa-sha256:null", "-a", attributes, "-c", "key.ctx", "-Q")
    tool(
        "tpm2_quote", "-c", "key.ctx", "-l", selection_text(selection), "-q", "00ff", "-m", "message", "-s", "signature"
    )
    tool("tpm2_readpublic", "-c", "key.ctx", "-o", "key.tss", "-Q")
    quote = parse_attest((tmp_path / "message").read_bytes())
    assert isinstance(quote.attested, QuoteInfo)
    assert quote.attested.pcr_selection == selection
    assert quote.extra_data == b"\x00\xff"
    key = parse_sized_public((tmp_path / "key.tss").read_bytes()).public_key()
    signature = parse_signature((tmp_path / "signature").read_bytes())
    verify_signature(key, signature, (tmp_path / "message").read_bytes(), Reason.QUOTE_SIGNATURE_INVALID)


def test_our_bytes_of_a_selection_are_those_of_tpm2_tss() -> None:
    for text in (SELECTION, "sha1:none", "sha384:0,8,16,23+sha512:1"):
        selection = parse_selection_text(text)
        if "none" not in text:
            assert encode_selection(selection) == tpm2_pytss.TPML_PCR_SELECTION.parse(text).marshal()
        tss, _ = tpm2_pytss.TPML_PCR_SELECTION.unmarshal(encode_selection(selection))
        assert parse_selection(tss.marshal()) == selection


def test_a_child_key_is_qualified_through_its_parent(tpm: Swtpm) -> None:
    with tpm2_pytss.ESAPI(tpm.tcti) as esapi:
        storage = tpm2_pytss.TPM2B_PUBLIC.parse(
            "ecc:aes128cfb", objectAttributes="fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt"
        )
        no_secret = tpm2_pytss.TPM2B_SENSITIVE_CREATE()
        above = tpm2_pytss.ESYS_TR.OWNER
        parent, parent_public, *_ = esapi.create_primary(no_secret, storage, above)
        template = tpm2_pytss.TPM2B_PUBLIC.parse("ecc:ecdsa-sha256:null", objectAttributes=RESTRICTED_SIGNING)
        private, public, *_ = esapi.create(parent, no_secret, template)
        child = esapi.load(parent, private, public)
        _, name, its_qualified_name = esapi.read_public(child)
        esapi.flush_context(child)
        esapi.flush_context(parent)
    ours = parse_sized_public(parent_public.marshal())
    assert ours.symmetric_bits == 128
    with pytest.raises(PeerError) as caught:
        check_attestation_key(ours)
    assert caught.value.reason is Reason.ATTESTING_KEY_MISMATCH
    parent_qualified_name = qualified_name(TPM_RH_OWNER, ours.name)
    assert qualified_name(parent_qualified_name, bytes(name)) == bytes(its_qualified_name)


def test_registers_start_and_extend_as_we_say(tmp_path: Path) -> None:
    with running_swtpm(tmp_path) as tpm, tpm2_pytss.ESAPI(tpm.tcti) as esapi:
        everything = ",".join(map(str, range(24)))
        fresh = read_values(esapi, f"sha1:{everything}+sha256:{everything}")
        for bank, index, digest in fresh:
            assert digest == initial_value(bank, index), f"{bank.name}:{index}"
        esapi.pcr_event(tpm2_pytss.ESYS_TR.PCR16, b"an event")
        for bank in (SHA1, SHA256):
            expected = extend(bank, initial_value(bank, 16), bank.digest(b"an event"))
            assert read_values(esapi, f"{bank.name}:16").get(bank, 16) == expected


@pytest.mark.parametrize("hierarchy", ["endorsement", "owner"])
def test_counters_move_alike_under_obfuscation(tmp_path: Path, hierarchy: str) -> None:
    def clock(tpm: Swtpm) -> Attest:
        with tpm2_pytss.ESAPI(tpm.tcti) as esapi:
            handle, _ = create_key(esapi, "ecc:ecdsa-sha256:null", hierarchy)
            statement = said(*esapi.get_time(handle, NONCE))
            esapi.flush_context(handle)
        return parse_attest(statement.raw)

    def moved(before: Attest, after: Attest) -> tuple[int, int]:
        old, new = before.clock_info, after.clock_info
        return (new.reset_count - old.reset_count) % 2**32, (new.restart_count - old.restart_count) % 2**32

    with running_swtpm(tmp_path) as tpm:
        first = clock(tpm)
        tpm.suspend_and_resume()
        resumed = clock(tpm)
        assert moved(first, resumed) == (0, 1)
        assert resumed.clock_info.clock >= first.clock_info.clock
        tpm.reboot(graceful=True)
        rebooted = clock(tpm)
        assert moved(resumed, rebooted) == (1, 2**32 - 1)
        assert rebooted.clock_info.safe
        tpm.reboot(graceful=False)
        cut = clock(tpm)
        assert moved(rebooted, cut) == (1, 0)
        assert not cut.clock_info.safe
        assert cut.firmware_version == first.firmware_version


def flip(raw: bytes, position: int) -> bytes:
    return raw[:position] + bytes([raw[position] ^ 0x01]) + raw[position + 1 :]


def pem(public: TpmPublic) -> bytes:
    return public.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def values_file(selection: PcrSelection, values: PcrValues) -> bytes:
    """The ``--pcrs_format=values`` file of tpm2-tools: the selected digests one after the other."""
    return b"".join(values.bank(bank)[index] for bank, index in selection)


def test_all_banks_of_the_tpm_are_known(tpm: Swtpm) -> None:
    with tpm2_pytss.ESAPI(tpm.tcti) as esapi:
        _, data = esapi.get_capability(tpm2_pytss.TPM2_CAP.PCRS, 0, 16)
    assert {int(bank.hash) for bank in data.data.assignedPCR} <= set(BY_TPM_ID)
