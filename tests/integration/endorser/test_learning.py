"""A golden device on a software TPM: what is learned from its evidence is what the TPM holds and its list says."""

import json
import subprocess
from pathlib import Path

import pytest

from endorser.__main__ import main
from endorser.core.working_set import parse
from schemas import media_types
from schemas.codecs import cmw
from schemas.hashes import SHA256
from schemas.media_types import Indicator
from schemas.messages.evidence import encode_evidence
from tests.programs.agent_rig import agent_rig, publish_handle
from tests.programs.swtpm import require_tool

pytestmark = pytest.mark.needs("swtpm", "mosquitto", "openssl", "tpm2_pcrextend", "tpm2_pcrread")


def test_values_are_learned_from_a_real_quote_and_refused_without_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with agent_rig(tmp_path, heartbeat_s=0.5) as device:
        device.boot()
        device.measure(3)
        device.provision()
        publish_handle(device)
        kept = tmp_path / "kept"
        kept.mkdir()
        with device.running_agent():
            for number in range(2):
                raw = encode_evidence(device.next())
                (kept / f"{number}.bin").write_bytes(cmw.wrap(media_types.EVIDENCE, raw, Indicator.EVIDENCE))
        read = subprocess.run(
            [require_tool("tpm2_pcrread"), "-T", device.tpm.tcti, "sha256:0,1,2,3,4,5,6,7,8,9"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    held = [line.partition("0x")[2].lower() for line in read.splitlines() if "0x" in line]

    key, endorsement, out = tmp_path / "endorser.key", tmp_path / "device.corim", tmp_path / "golden.txt"
    assert main(["keygen", "--out", str(key)]) == 0
    ueid, public = str(tmp_path / "attester.ueid"), str(key.with_suffix(".pub"))
    ak = str(tmp_path / "ak.tpmt_public")
    assert main(["endorse", "--key", str(key), "--ueid", ueid, "--ak-public", ak, "--out", str(endorsement)]) == 0
    learn = ["reference-values", "from-attester", ueid, "--evidence", str(kept), "--endorsement", str(endorsement)]
    assert main([*learn, "--endorser-key", public, "--out", str(out)]) == 0
    learned = parse(out.read_text(), "golden.txt")
    assert [min(learned.registers[SHA256][index]).hex() for index in range(10)] == held
    assert learned.files == {SHA256.digest(b"%d" % each): f"/usr/bin/{each}" for each in range(3)}

    signed = tmp_path / "golden.corim"
    arguments = ["sign", str(out), "--key", str(key), "--name", "golden", "--out", str(signed)]
    assert main(["reference-values", *arguments]) == 0
    capsys.readouterr()
    assert main(["corim", "show", "--json", str(signed), "--endorser-key", public]) == 0
    assert json.loads(capsys.readouterr().out)["tags"][0]["triples"][0]["files"] == 3

    first = kept / "0.bin"
    damaged = bytearray(first.read_bytes())
    damaged[damaged.index(b"/usr/bin/1\0") + 9] ^= 2  # one byte of one measured file's entry
    first.write_bytes(damaged)
    assert main([*learn, "--endorser-key", public]) == 2
    assert "golden" not in capsys.readouterr().out
