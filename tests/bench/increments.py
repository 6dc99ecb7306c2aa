"""What ten more IMA entries cost after a short log and after a long one, and how large the state is by then."""

import gc
import statistics
import time
from dataclasses import dataclass

from schemas.messages.evidence import Evidence, encode_evidence, parse_evidence
from tests.worlds.device import GOOD_FILES, T0_US, FakeDevice, make_handle, make_trust
from verifier_worker.core.state import AttesterState
from verifier_worker.core.state_codec import encode_state
from verifier_worker.core.step import step
from verifier_worker.core.trust import Trust

SHORT_ENTRIES = 1_000
PART_ENTRIES = 2_000  # of one push of a long baseline
INCREMENT_ENTRIES = 10
PUSHES = 300
ROUNDS = 7
BUDGET = 1.1
NOW_US = T0_US + 5_000_000


@dataclass
class Stream:
    """One device and what the verifier knows of it."""

    device: FakeDevice
    trust: Trust
    state: AttesterState | None = None

    def take(self, evidence: Evidence) -> None:
        """One push."""
        taken = step(self.state, self.device.ueid, evidence, NOW_US, self.trust)
        assert (taken.refused, taken.solicit, taken.duplicate) == (None, None, False)
        self.state = taken.state

    def run(self, entries: int) -> None:
        """Measures files that the reference values list."""
        files = list(GOOD_FILES.items())
        for number in range(entries):
            self.device.run(*files[number % len(files)])

    def push(self, limit: int = INCREMENT_ENTRIES) -> Evidence:
        """The next push, as it arrives."""
        return parse_evidence(encode_evidence(self.device.push(limits={"ima": limit}, elapsed_ms=1)))

    def cost_us(self) -> float:
        """Microseconds of a push with ten entries; the pushes are made before the clock runs."""
        pushes = []
        for _ in range(PUSHES):
            self.run(INCREMENT_ENTRIES)
            pushes.append(self.push())
        started = time.perf_counter()
        for push in pushes:
            self.take(push)
        return (time.perf_counter() - started) / PUSHES * 1e6


def _stream_after(entries: int) -> Stream:
    """A device whose baseline of this many entries was accepted, part by part."""
    device, handle = FakeDevice(), make_handle()
    device.sync(handle)
    stream = Stream(device, make_trust(device, handles=(handle,)))
    stream.run(entries)
    while device.sent.get("ima", 0) < len(device.ima_list):
        stream.take(stream.push(PART_ENTRIES))
    return stream


def measure_increments(long_entries: int) -> str:
    """A line for people: cost and state size after each log, and their ratio."""
    short, long = _stream_after(SHORT_ENTRIES), _stream_after(long_entries)
    gc.freeze()  # a collector that walks the fake device's list is not what we measure
    pairs = [(short.cost_us(), long.cost_us()) for _ in range(ROUNDS)]
    gc.unfreeze()
    ratio = statistics.median(after / before for before, after in pairs)
    before, after = (statistics.median(column) for column in zip(*pairs, strict=True))
    assert short.state is not None
    assert long.state is not None
    sizes = [len(encode_state(stream.state)) for stream in (short, long) if stream.state is not None]
    verdict = "met" if ratio <= BUDGET else "ABOVE"
    return (
        f"{INCREMENT_ENTRIES} more IMA entries, one push: {before:,.0f} us after {SHORT_ENTRIES:,} entries, "
        f"{after:,.0f} us after {long_entries:,}; ratio {ratio:.2f}, budget ≤ {BUDGET:.1f}  {verdict}; "
        f"state {sizes[0]:,} and {sizes[1]:,} bytes"
    )
