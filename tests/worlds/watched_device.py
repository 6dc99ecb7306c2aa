"""A device whose clock can do what TPM clocks do, a verifier, and the true time."""

from dataclasses import replace

from schemas.codecs.tst_info import TstInfo
from schemas.errors import PeerError
from schemas.messages.evidence import Evidence, encode_evidence, parse_evidence
from schemas.messages.handle import Handle
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier
from tests.worlds.device import T0_US, FakeDevice, make_handle, make_policy, make_trust
from verifier_worker.core.state import AttesterState
from verifier_worker.core.state_codec import decode_state, encode_state
from verifier_worker.core.step import Step, step
from verifier_worker.core.trust import Trust

SECOND_US = 1_000_000


INTERVAL_S = 60


class Stamps:
    """Takes every token: its bytes are the TSA's time."""

    def verify_stamp(self, token: bytes, imprint: bytes) -> TstInfo:
        """See :class:`schemas.messages.handle.StampVerifier`."""
        if token == b"bad":
            raise PeerError(Reason.HANDLE_STAMP_INVALID, "bad")
        return TstInfo(
            gen_time_us=int.from_bytes(token), accuracy_us=0, imprint=imprint, serial=1, policy="1.2.3", nonce=None
        )


class WatchedDevice:
    """A device whose clock is right, a verifier, and a new handle every minute. ``now_us`` is the true time."""

    def __init__(self, **policy: object) -> None:
        self.device = FakeDevice()
        self.handles: list[Handle] = []
        self.policy = make_policy(**policy)
        self.now_us = T0_US
        self.state: AttesterState | None = None
        self.base: Trust = make_trust(self.device, policy=self.policy)
        self.known = 0
        self.next_handle()
        self.pass_time(1)
        self.push()

    def next_handle(self, *, known: bool = True) -> Handle:
        """The next handle, which the device binds to at once; the verifier learns it unless told otherwise."""
        handle = make_handle(len(self.handles), time_us=self.now_us)
        self.handles.append(handle)
        self.device.sync(handle)
        if known:
            self.known = len(self.handles)
        return handle

    @property
    def trust(self) -> Trust:
        """With the handles that the verifier has."""
        known = self.handles[: self.known]
        return replace(
            self.base,
            handles={handle.id: handle for handle in known},
            newest=known[-1].id if known else None,
            stamps=Stamps(),
        )

    def pass_time(self, seconds: float, *, rate: float = 1.0) -> None:
        """True time and the TPM's clock go on."""
        self.now_us += round(seconds * SECOND_US)
        self.device.clock_ms += round(seconds * 1000 * rate)

    def push(self, **options: object) -> Step:
        """A push made and received now."""
        return self.take(self.device.push(elapsed_ms=1, **options))  # type: ignore[arg-type]

    def take(self, evidence: Evidence) -> Step:
        """Through the wire form, ``step`` and the stored form."""
        taken = step(self.state, self.device.ueid, parse_evidence(encode_evidence(evidence)), self.now_us, self.trust)
        if taken.state is not None:
            assert decode_state(encode_state(taken.state)) == taken.state
        self.state = taken.state
        return taken

    def round(self, *, rate: float = 1.0, seconds: float = INTERVAL_S) -> Step:
        """Time passes, the next handle comes, the device pushes."""
        self.pass_time(seconds, rate=rate)
        self.next_handle()
        self.pass_time(0.2, rate=rate)
        return self.push()

    @property
    def verdict(self) -> tuple[Tier, Freshness, set[Reason]]:
        """Status, freshness and reasons now."""
        assert self.state is not None
        return self.state.verdict.status, self.state.verdict.freshness, set(self.state.verdict.reasons)


GOOD = (Tier.AFFIRMING, Freshness.FRESH, set[Reason]())
