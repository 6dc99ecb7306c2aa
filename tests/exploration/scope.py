"""The messages of one small world, made once by real keys, and the truth about each of them.

A device, a handle distributor and an endorser have made all of them within the last minute. Now they belong to the
network: each can be delivered at any time, in any order, any number of times, or never. Pushes also exist with other
unsigned parts (:mod:`tests.exploration.alterations`).

To add a kind of message (such as a statement of what is current): write a ``_make_*`` method that appends a
:class:`Message`, add it to ``CATALOGUE``, and let ``Truth`` say what it takes away.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, generate_private_key

from runtime.time_stamps.verifier import TimeStampVerifier
from schemas import media_types
from schemas.codecs import cmw, cose
from schemas.identifiers import ueid_text
from schemas.media_types import Indicator
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.evidence import Evidence, encode_evidence
from schemas.messages.handle import verify_handle
from schemas.messages.reference_values import sign_reference_values
from schemas.topics import TopicKind
from schemas.tpm.pcr import parse_selection_text
from tests.exploration.alterations import altered
from tests.fakes.attester import HandleMint
from tests.worlds.device import GOOD_FILES, T0_US, FakeDevice, make_endorsement, make_policy, make_references

APART_US: Final = 5_000_000  # from one message to the next
WAIT_US: Final = 200_000_000  # longer than the deadline; after two of them the handle has expired
DEADLINE_S: Final = 25.0
HANDLE_LIFETIME_S: Final = 300
MAX_MESSAGES: Final = 9
BAD_FILE: Final = (b"/tmp/bad", b"bad")
WIDER: Final = "sha256:0-10,12"
ISSUER: Final = "distributor-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a message really means, known to who made it.

    Attributes:
        push: the number of a push, -1 for another message; pushes are numbered in the order of their quotes.
        boot: the boot in which a push was made.
        ran: digests of the files that had run in that boot when the push was made.
        handle: the name of the handle under which a push was made.
        files: digests that these reference values accept.
        endorsed: whether this endorsement is valid.
        version: of a trust object.
    """

    push: int = -1
    boot: int = 0
    ran: frozenset[bytes] = frozenset()
    handle: str = ""
    files: frozenset[bytes] = frozenset()
    endorsed: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as the network has it.

    Attributes:
        name: in words.
        kind: ``evidence``, or the topic kind of a trust object.
        payload: a CMW record with evidence, or the signed object.
        topic: last level of its topic.
        truth: what it means.
        altered: somebody on the way changed unsigned parts of it.
        body: digest of a push's signed body.
    """

    name: str
    kind: str
    payload: bytes
    topic: str
    truth: Truth
    altered: bool = False
    body: bytes = b""


@dataclass
class Scope:
    """A device, what vouches for it, and the first ``count`` messages of ``CATALOGUE``."""

    count: int = 6
    alter: bool = True
    device: FakeDevice = field(default_factory=FakeDevice)
    mint: HandleMint = field(default_factory=HandleMint)
    given: list[Message] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.endorser = generate_private_key(SECP256R1())
        self.stamps = TimeStampVerifier(self.mint.authority.root.pem)
        self.policy = make_policy(deadline_s=DEADLINE_S)
        self.ueid = self.device.ueid
        self._registers = make_references(self.device).registers
        self._evidence: list[tuple[Message, Evidence]] = []
        self._ran: set[bytes] = set()
        self._pushes, self._boot, self._handle = 0, 0, ""
        self._given(self._endorsement(1, 2**40))
        self._given(self._references(1, {}))
        for place, make in enumerate(CATALOGUE[: self.count]):
            make(self, place)
        if self.alter:
            self._alter()

    @property
    def endorsers(self) -> Mapping[bytes, EllipticCurvePublicKey]:
        """The keys that vouch for the device."""
        return {cose.key_id(self.endorser.public_key()): self.endorser.public_key()}

    @property
    def grace_us(self) -> int:
        """By how much a result may outlive its handle."""
        return self.policy.grace_us

    @staticmethod
    def time_us(waits: int) -> int:
        """The time after so many waits."""
        return T0_US + MAX_MESSAGES * APART_US + waits * WAIT_US

    @staticmethod
    def _made_us(place: int) -> int:
        """When a message was made, by its place among them."""
        return T0_US + place * APART_US

    def _given(self, message: Message) -> None:
        self.given.append(message)
        self.messages.append(message)

    # -- trust objects -------------------------------------------------------------------------------------------------

    def _endorsement(self, version: int, not_after_s: int) -> Message:
        vouched = replace(
            make_endorsement(self.ueid, self.device.public), version=version, not_after_s=not_after_s, not_before_s=0
        )
        return Message(
            name=f"endorsement {version}" + ("" if not_after_s == 2**40 else " (revoked)"),
            kind=TopicKind.ENDORSEMENTS,
            payload=sign_endorsement(vouched, self.device.raw_public, self.endorser),
            topic=ueid_text(self.ueid),
            truth=Truth(endorsed=not_after_s == 2**40, version=version),
        )

    def _references(self, version: int, more: Mapping[bytes, str]) -> Message:
        files = {hashlib.sha256(content).digest(): path.decode() for path, content in GOOD_FILES.items()} | dict(more)
        values = make_references(self.device, version=version, files=files, registers=self._registers)
        return Message(
            name=f"reference values {version}",
            kind=TopicKind.REFERENCE_VALUES,
            payload=sign_reference_values(values, self.endorser),
            topic="good",
            truth=Truth(files=frozenset(files), version=version),
        )

    def make_handle(self, place: int) -> None:
        """A handle, to which the device synchronises at once."""
        time_us = self._made_us(place)
        raw = self.mint.raw(time_us, lifetime_s=HANDLE_LIFETIME_S)
        self._handle = f"handle {sum(each.kind == TopicKind.HANDLES for each in self.messages)}"
        self.device.sync(verify_handle(raw, self.mint.keys, self.stamps))
        self.messages.append(
            Message(name=self._handle, kind=TopicKind.HANDLES, payload=raw, topic=ISSUER, truth=Truth())
        )

    def revoke(self, place: int) -> None:
        """The endorsement ends."""
        self.messages.append(self._endorsement(2, self._made_us(place) // 1_000_000 - 1))

    def accept_bad_file(self, place: int) -> None:
        """Reference values that list the file that was not in them."""
        self.messages.append(self._references(2, {hashlib.sha256(BAD_FILE[1]).digest(): "/tmp/bad"}))

    def withdraw_file(self, place: int) -> None:
        """Reference values that list neither the bad file nor one that was good."""
        message = self._references(3, {})
        self.messages.append(message)

    # -- pushes --------------------------------------------------------------------------------------------------------

    def _run(self, path: bytes, content: bytes) -> None:
        self.device.run(path, content)
        self._ran.add(hashlib.sha256(content).digest())

    def _push(self, name: str, place: int) -> None:
        evidence = self.device.push(elapsed_ms=APART_US // 1000)
        truth = Truth(push=self._pushes, boot=self._boot, ran=frozenset(self._ran), handle=self._handle)
        self._pushes += 1
        message = Message(
            name=name,
            kind=str(TopicKind.EVIDENCE),
            payload=wrapped(evidence),
            topic=ueid_text(self.ueid),
            truth=truth,
            body=evidence.body_digest,
        )
        self._evidence.append((message, evidence))
        self.messages.append(message)

    def push_good(self, place: int) -> None:
        """A full push after good files ran."""
        self._run(b"/usr/bin/true", b"true")
        self._push("baseline", place)

    def push_bad(self, place: int) -> None:
        """A delta after a bad file ran."""
        self._run(*BAD_FILE)
        self._push("delta with a bad file", place)

    def push_more(self, place: int) -> None:
        """A delta after one more good file ran."""
        self._run(b"/usr/bin/cat", b"cat")
        self._push("delta with a good file", place)

    def push_wider(self, place: int) -> None:
        """A delta whose quote covers one PCR more than the quotes before it, so that the logs do not go on."""
        self.device.selection = parse_selection_text(WIDER)
        self._push("delta of more PCRs", place)

    def reboot(self, place: int) -> None:
        """A baseline of another boot, in which good files ran."""
        self.device.reboot()
        self._boot += 1
        self._ran = set()
        self.make_handle(place)
        self._push("baseline after a reboot", place)

    def _alter(self) -> None:
        for message, evidence in self._evidence:
            others = [(each.name, other) for each, other in self._evidence if each is not message]
            for words, changed in altered(evidence, others):
                self.messages.append(
                    replace(message, name=f"{message.name}, {words}", payload=wrapped(changed), altered=True)
                )


def wrapped(evidence: Evidence) -> bytes:
    """A push as it travels."""
    return cmw.wrap(media_types.EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE)


CATALOGUE: Final[tuple[Callable[[Scope, int], None], ...]] = (
    Scope.make_handle,
    Scope.push_good,
    Scope.push_bad,
    Scope.push_wider,
    Scope.revoke,
    Scope.accept_bad_file,
    Scope.reboot,
    Scope.push_more,
    Scope.withdraw_file,
)
