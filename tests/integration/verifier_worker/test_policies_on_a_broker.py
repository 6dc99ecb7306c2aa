"""Signed policies and a verifier process on a real broker: published, newer, rolled back, forged, after kill -9."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from runtime.audit_log.any_log import read_entries
from schemas import media_types
from schemas.audit.entry import ObjectEntry, parse_entry
from schemas.codecs import cmw, cose
from schemas.media_types import Indicator
from schemas.messages.policy import SignedPolicy, sign_policy, verify_policy
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.topics import TopicKind
from schemas.verdicts import Tier
from tests.builders.statements import stated
from tests.programs.mosquitto import running_mosquitto
from tests.programs.mqtt_client import Listener, listening
from tests.programs.verifier_rig import POLICY as OWN
from tests.programs.verifier_rig import VerifierRig, verifier_rig

pytestmark = pytest.mark.needs("mosquitto")

TEXT = OWN.format(deadline_s=600.0).replace('id = "test"', 'id = "fleet"')
STRICT = f"{TEXT}[[rules]]\nname = 'always'\nwhen = 'true'\nthen = 'warning'\n"


class Stage:
    """One device, one verifier; who publishes policies, and hears results."""

    def __init__(self, rig: VerifierRig, client: Listener) -> None:
        self.rig, self.client, self.sequence = rig, client, -1

    def publish(
        self, version: int, text: str, *, name: str = "fleet", key: EllipticCurvePrivateKey | None = None
    ) -> None:
        policy = SignedPolicy(id="fleet", version=version, signer="e", not_before_s=0, not_after_s=2**40, text=text)
        raw = sign_policy(policy, key or self.rig.endorser)
        topic = self.rig.topics.policies(name)
        self.client.publish(topic, cmw.wrap(media_types.POLICY, raw, Indicator.APPRAISAL_POLICY), retain=True)
        if version == 1:
            statement = stated(self.rig.endorser, "good", topics=self.rig.topics, policy="fleet")
            self.client.publish(*statement, retain=True)

    def push(self) -> AttestationResult:
        """The result about the device's next push."""
        device, self.sequence = self.rig.devices[0], self.sequence + 1
        self.client.publish(self.rig.topics.evidence(device.ueid), self.rig.payload(device.push(elapsed_ms=1)))

        def heard(messages: list[tuple[str, bytes]]) -> bool:
            return any(each.sequence == self.sequence for each in self.rig.results(messages, device.ueid))

        self.client.wait_for(heard, f"the result of push {self.sequence}\n{self.rig.log()[-2000:]}")
        return next(
            each for each in self.rig.results(self.client.messages, device.ueid) if each.sequence == self.sequence
        )

    def push_until(self, policy: str) -> AttestationResult:
        """The first result under a policy: policies and evidence come over two connections, in no order."""
        for _ in range(200):
            result = self.push()
            if tuple(result.policies) == (policy,):
                return result
        raise AssertionError(f"no result under {policy}\n{self.rig.log()[-2000:]}")

    def wait_for_refusal(self, reason: Reason) -> None:
        """Until the verifier has refused a policy for this reason."""
        for _ in range(200):
            if f"object-refused kind=policies name=fleet reason={reason}" in self.rig.log():
                return
            self.push()
        raise AssertionError(self.rig.log()[-2000:])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A verifier with a policy of its own, ``test/1``."""
    (tmp_path / "broker").mkdir()
    with (
        running_mosquitto(tmp_path / "broker") as broker,
        verifier_rig(tmp_path, broker.port) as rig,
        listening(broker.port, rig.topics.all_results, rig.topics.all_status) as client,
    ):
        rig.publish_trust(client)
        rig.start()
        client.wait_for(bool, "the verifier's status")
        yield Stage(rig, client)


def test_policies_come_into_force_without_a_restart_and_stay_over_kill_9(stage: Stage) -> None:
    assert (stage.push().status, stage.rig.running()) == (Tier.AFFIRMING, True)
    stage.publish(1, TEXT)
    assert stage.push_until("fleet/1").status is Tier.AFFIRMING
    stage.publish(2, STRICT)
    result = stage.push_until("fleet/2")
    assert (result.status, result.reasons, result.unexpected) == (Tier.WARNING, ("policy-rule",), ("always",))
    stage.publish(1, TEXT.replace("600.0", "599.0"))
    stage.wait_for_refusal(Reason.OBJECT_ROLLED_BACK)
    stage.rig.kill()
    stage.rig.start()
    assert stage.push().policies == ("fleet/2",)
    stage.publish(3, TEXT)
    assert stage.push_until("fleet/3").status is Tier.AFFIRMING
    assert stage.rig.stop() == 0
    assert recorded(stage) == [1, 2, 3]


def test_a_stranger_and_a_broken_text_change_nothing(stage: Stage) -> None:
    stage.publish(1, TEXT)
    stage.push_until("fleet/1")
    stage.publish(2, STRICT, key=generate_private_key(SECP256R1()))
    stage.wait_for_refusal(Reason.OBJECT_SIGNATURE_INVALID)
    stage.publish(2, STRICT.replace("'true'", "'treu'"))
    stage.wait_for_refusal(Reason.POLICY_INVALID)
    assert stage.push().policies == ("fleet/1",)
    assert "undeclared reference to 'treu'" in stage.rig.log()


def recorded(stage: Stage) -> list[int]:
    """Versions of the policies in the audit log, in order."""
    key = stage.rig.endorser.public_key()
    entries = [parse_entry(raw) for _, raw in read_entries(stage.rig.folder / "audit")]
    policies = [each.raw for each in entries if isinstance(each, ObjectEntry) and each.kind == TopicKind.POLICIES]
    return [verify_policy(raw, {cose.key_id(key): key}).version for raw in policies]
