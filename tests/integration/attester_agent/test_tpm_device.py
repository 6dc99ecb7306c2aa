"""The agent's TPM adapter on a real (software) TPM: keys, leftovers, closed hierarchies, lockout, reboots."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tpm2_pytss import ESAPI, ESYS_TR, TPM2_CAP, TPM2B_AUTH, TSS2_Exception

from attester_agent.settings import DEFAULT_AK_HANDLE, TpmSettings
from attester_agent.tpm.device import TpmDevice
from schemas.errors import ConfigError, WorldError
from schemas.hashes import SHA1, SHA256
from schemas.reasons import Reason
from schemas.tpm.attest import AttestType, QuoteInfo, parse_attest
from schemas.tpm.pcr import composite_digest, parse_selection_text
from schemas.tpm.public import EccKey, RsaKey, check_attestation_key, parse_public
from schemas.tpm.signature import parse_signature, verify_signature
from tests.programs.swtpm import Swtpm, require_tool, running_swtpm

pytestmark = pytest.mark.needs("swtpm")

SELECTION = parse_selection_text("sha256:0-23+sha1:0-10")
TRANSIENT, LOADED_SESSION, SAVED_SESSION, PERSISTENT = 0x80000000, 0x02000000, 0x03000000, 0x81000000


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with running_swtpm(tmp_path) as running:
        yield running


def device(tpm: Swtpm, **settings: object) -> TpmDevice:
    return TpmDevice(TpmSettings(tcti=tpm.tcti, **settings), pause=lambda _seconds: False)  # type: ignore[arg-type]  # as a test names them


def handles(tpm: Swtpm, kind: int) -> list[int]:
    with ESAPI(tpm.tcti) as esapi:
        _, found = esapi.get_capability(TPM2_CAP.HANDLES, kind, 64)
    return [int(handle) for handle in found.data.handles if int(handle) >> 24 == kind >> 24]


@pytest.mark.parametrize("hierarchy", ["endorsement", "owner"])
@pytest.mark.parametrize(("algorithm", "kind"), [("ecc", EccKey), ("rsa", RsaKey)])
def test_the_key_is_made_once_and_signs(tpm: Swtpm, algorithm: str, kind: type, hierarchy: str) -> None:
    first = device(tpm, ak_algorithm=algorithm, hierarchy=hierarchy)
    identity = first.identity()
    public = parse_public(identity.public)
    check_attestation_key(public)
    assert isinstance(public.key, kind)
    assert public.name == identity.environment
    assert device(tpm, ak_algorithm=algorithm, hierarchy=hierarchy).identity() == identity
    with first.session() as session:
        proof, quote = session.sync(b"s" * 32), session.quote(b"q" * 32, SELECTION)
        values = session.read_pcrs(SELECTION)
    for attest, signature, extra in ((proof.attest, proof.signature, b"s"), (quote.attest, quote.signature, b"q")):
        verify_signature(public.public_key(), parse_signature(signature), attest, Reason.QUOTE_SIGNATURE_INVALID)
        assert parse_attest(attest).extra_data == extra * 32
    quoted = parse_attest(quote.attest).attested
    assert isinstance(quoted, QuoteInfo)
    assert composite_digest(quoted.pcr_selection, values, SHA256) == quoted.pcr_digest
    assert (len(values.bank(SHA256)), len(values.bank(SHA1))) == (24, 11)


def test_nothing_is_left_in_the_tpm_but_the_key(tpm: Swtpm) -> None:
    agent = device(tpm)
    for _ in range(6):
        agent.identity()
        with agent.session() as session:
            session.sync(b"x")
            session.quote(b"x", SELECTION)
    assert [handles(tpm, kind) for kind in (TRANSIENT, LOADED_SESSION, SAVED_SESSION)] == [[], [], []]
    assert handles(tpm, PERSISTENT) == [DEFAULT_AK_HANDLE]


def test_a_key_that_was_evicted_comes_back_the_same(tpm: Swtpm) -> None:
    agent = device(tpm)
    identity = agent.identity()
    subprocess.run([require_tool("tpm2_evictcontrol"), "-Q", "-T", tpm.tcti, "-c", hex(DEFAULT_AK_HANDLE)], check=True)
    assert agent.identity() == identity


def test_which_endorsement_key_names_the_device_is_a_setting(tpm: Swtpm) -> None:
    ecc, rsa = device(tpm, ek="ecc").identity(), device(tpm, ek="rsa").identity()
    assert ecc.ueid != rsa.ueid
    assert ecc.environment == rsa.environment


@pytest.mark.needs("tpm2_createek")
@pytest.mark.parametrize("algorithm", ["ecc", "rsa"])
def test_the_endorsement_key_is_the_one_that_tpm2_tools_makes(tpm: Swtpm, tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "ek.der"
    command = [require_tool("tpm2_createek"), "-Q", "-T", tpm.tcti, "-G", algorithm, "-f", "der", "-u", str(path)]
    subprocess.run([*command, "-c", str(tmp_path / "ek.ctx")], check=True)
    subprocess.run([require_tool("tpm2_flushcontext"), "-Q", "-T", tpm.tcti, "-t"], check=True)
    expected = b"\x01" + SHA256.digest(path.read_bytes())
    assert device(tpm, ek=algorithm).identity().ueid == expected


def test_an_occupied_handle_is_named_and_left_alone(tpm: Swtpm) -> None:
    with ESAPI(tpm.tcti) as esapi:
        transient, *_ = esapi.create_primary(None, "ecc256")  # a storage key
        esapi.evict_control(ESYS_TR.OWNER, transient, DEFAULT_AK_HANDLE)
        esapi.flush_context(transient)
    with pytest.raises(ConfigError, match=r"ak_handle: 0x81020000 holds .*tpm2_evictcontrol -C o -c 0x81020000"):
        device(tpm).identity()
    assert handles(tpm, PERSISTENT) == [DEFAULT_AK_HANDLE]
    assert device(tpm, ak_handle=DEFAULT_AK_HANDLE + 1).identity().ueid


def test_a_key_of_the_other_algorithm_is_not_used(tpm: Swtpm) -> None:
    device(tpm, ak_algorithm="ecc").identity()
    with pytest.raises(ConfigError, match="not such as the agent makes for ak_algorithm 'rsa'"):
        device(tpm, ak_algorithm="rsa").identity()


def close_endorsement_hierarchy(tpm: Swtpm) -> None:
    with ESAPI(tpm.tcti) as esapi:
        esapi.hierarchy_change_auth(ESYS_TR.ENDORSEMENT, TPM2B_AUTH(b"secret"))


def test_with_a_closed_endorsement_hierarchy_the_sync_proof_is_a_quote_of_no_pcr(tpm: Swtpm) -> None:
    agent = device(tpm)
    identity = agent.identity()
    with agent.session() as session:
        assert parse_attest(session.sync(b"x" * 32).attest).type is AttestType.TIME
    close_endorsement_hierarchy(tpm)
    with agent.session() as session:
        proof = session.sync(b"x" * 32)
    attest = parse_attest(proof.attest)
    assert attest.type is AttestType.QUOTE
    assert attest.extra_data == b"x" * 32
    assert isinstance(attest.attested, QuoteInfo)
    assert tuple(attest.attested.pcr_selection) == ()
    key = parse_public(identity.public).public_key()
    verify_signature(key, parse_signature(proof.signature), proof.attest, Reason.SYNC_SIGNATURE_INVALID)


def test_a_closed_hierarchy_that_prevents_making_the_key_is_told_to_the_operator(tpm: Swtpm) -> None:
    close_endorsement_hierarchy(tpm)
    with pytest.raises(ConfigError, match=r"tpm\.hierarchy: .*endorsement hierarchy"):
        device(tpm).identity()
    with pytest.raises(WorldError, match="tpm2_createek -c 0x81010002") as caught:
        device(tpm, hierarchy="owner").identity()
    assert caught.value.reason is Reason.TPM_FATAL


@pytest.mark.needs("tpm2_createek")
def test_a_closed_hierarchy_with_an_endorsement_key_at_its_place_names_the_device(tpm: Swtpm) -> None:
    ueid = device(tpm, hierarchy="owner").identity().ueid
    subprocess.run([require_tool("tpm2_createek"), "-Q", "-T", tpm.tcti, "-G", "ecc", "-c", "0x81010002"], check=True)
    subprocess.run([require_tool("tpm2_flushcontext"), "-Q", "-T", tpm.tcti, "-t"], check=True)
    close_endorsement_hierarchy(tpm)
    assert device(tpm, hierarchy="owner").identity().ueid == ueid


def test_reset_counts_of_the_owner_hierarchy_compare_with_each_other(tpm: Swtpm) -> None:
    agent = device(tpm, hierarchy="owner")
    counts = []
    for _ in range(2):
        with agent.session() as session:
            sync, quote = parse_attest(session.sync(b"x").attest), parse_attest(session.quote(b"x", SELECTION).attest)
        assert sync.clock_info.reset_count == quote.clock_info.reset_count
        counts.append(sync.clock_info.reset_count)
        tpm.reboot(graceful=True)
    assert counts[0] != counts[1]


def test_the_key_survives_a_power_cut_and_the_reset_count_tells(tpm: Swtpm) -> None:
    agent = device(tpm)
    identity = agent.identity()
    with agent.session() as session:
        before = parse_attest(session.sync(b"x").attest).clock_info.reset_count
    tpm.reboot(graceful=False)
    with agent.session() as session:
        after = parse_attest(session.sync(b"x").attest).clock_info.reset_count
    assert after == before + 1
    assert agent.identity() == identity


def test_a_tpm_that_is_off_is_unreachable_and_reachable_again(tpm: Swtpm) -> None:
    agent = device(tpm)
    identity = agent.identity()
    tpm.shut_down()
    with pytest.raises(WorldError) as caught:
        agent.identity()
    assert caught.value.reason is Reason.TPM_UNREACHABLE
    tpm.start()
    assert agent.identity() == identity


def test_a_tpm_that_goes_off_between_two_commands_is_unreachable(tpm: Swtpm) -> None:
    with device(tpm).session() as session:
        tpm.cut_power()
        with pytest.raises(WorldError) as caught:
            session.quote(b"x", SELECTION)
    assert caught.value.reason is Reason.TPM_UNREACHABLE


def test_no_such_tcti_is_unreachable() -> None:
    with pytest.raises(WorldError, match="device:/dev/no-such-tpm") as caught:
        TpmDevice(TpmSettings(tcti="device:/dev/no-such-tpm"), pause=lambda _seconds: False).identity()
    assert caught.value.reason is Reason.TPM_UNREACHABLE


def test_a_locked_out_tpm_still_attests(tpm: Swtpm) -> None:
    agent = device(tpm)
    identity = agent.identity()
    with ESAPI(tpm.tcti) as esapi:
        esapi.dictionary_attack_parameters(0, 1000, 1000)  # not one failure allowed: locked out
    assert agent.identity() == identity
    with agent.session() as session:
        assert session.quote(b"x", SELECTION).attest


def test_busy_is_tried_again_and_then_named(tpm: Swtpm, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    agent = TpmDevice(TpmSettings(tcti=tpm.tcti), pause=pause)
    agent.identity()
    answers = [0x922, 0x90A]
    real = ESAPI.quote

    def busy(self: object, *arguments: object, **named: object) -> object:
        if answers:
            raise TSS2_Exception(answers.pop(0))
        return real(self, *arguments, **named)

    monkeypatch.setattr(ESAPI, "quote", busy)
    with agent.session() as session:
        assert session.quote(b"x", SELECTION).attest
        assert len(pauses) == 2
        answers.extend([0x922] * 100)
        with pytest.raises(WorldError) as caught:
            session.quote(b"x", SELECTION)
    assert caught.value.reason is Reason.TPM_BUSY
    assert pauses == sorted(pauses[:2]) + sorted(pauses[2:])


@pytest.mark.parametrize(("return_code", "reason"), [(0x921, Reason.TPM_LOCKED_OUT), (0x101, Reason.TPM_FATAL)])
def test_lockout_and_failure_are_named_at_once(
    tpm: Swtpm, monkeypatch: pytest.MonkeyPatch, return_code: int, reason: Reason
) -> None:
    def fail(*_arguments: object, **_named: object) -> object:
        raise TSS2_Exception(return_code)

    with device(tpm).session() as session:
        monkeypatch.setattr(ESAPI, "quote", fail)
        with pytest.raises(WorldError, match="quote: ") as caught:
            session.quote(b"x", SELECTION)
    assert caught.value.reason is reason


def test_stopping_ends_all_trying(tpm: Swtpm, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def busy(*_arguments: object, **_named: object) -> object:
        calls.append(1)
        raise TSS2_Exception(0x922)

    monkeypatch.setattr(ESAPI, "quote", busy)
    stopping = TpmDevice(TpmSettings(tcti=tpm.tcti), pause=lambda _seconds: True)
    with stopping.session() as session, pytest.raises(WorldError):
        session.quote(b"x", SELECTION)
    assert calls == [1]
