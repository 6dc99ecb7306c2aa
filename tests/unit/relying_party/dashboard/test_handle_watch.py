"""The dashboard's view of handle distributors, with keys to verify their handles and without."""

from relying_party.dashboard.handle_watch import MAX_DISTRIBUTORS, MAX_HANDLES, HandleWatch, Trust, watch_json
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.identifiers import HandleId
from schemas.messages.handle_chain import Fit
from schemas.reasons import Reason
from tests.fakes.attester import HandleMint

US = 1_000_000
START_US = 1_800_000_000 * US


def trusted(mint: HandleMint) -> HandleWatch:
    return HandleWatch(Trust(keys=mint.keys, stamps=TimeStampVerifier(mint.authority.root.pem)))


def test_verified_handles_tell_interval_delay_and_chain() -> None:
    mint = HandleMint()
    watch = trusted(mint)
    for number in range(3):
        at_us = START_US + number * 10 * US
        watch.take("main", mint.payload(at_us), at_us + 30_000, retained=number == 0)
    seen = list(watch.distributors["main"].handles)
    assert [each.verified for each in seen] == [True] * 3
    assert [each.fit for each in seen] == [Fit.FIRST, Fit.LINKED, Fit.LINKED]
    shown = watch_json(watch)["distributors"]
    assert isinstance(shown, list)
    newest, _, first = shown[0]["handles"]
    assert (newest["delay_s"], first["delay_s"]) == (0.03, None), "what was retained says nothing about the way"
    assert newest["time"] - first["time"] == 20
    assert watch.find(HandleId(seen[1].id)) is seen[1]


def test_a_missing_handle_is_a_gap_and_a_strangers_one_is_refused() -> None:
    mint, stranger = HandleMint(), HandleMint()
    watch = trusted(mint)
    watch.take("main", mint.payload(START_US), START_US, retained=False)
    mint.payload(START_US + US)
    watch.take("main", mint.payload(START_US + 2 * US), START_US, retained=False)
    watch.take("main", stranger.payload(START_US + 3 * US), START_US, retained=False)
    main = watch.distributors["main"]
    assert [each.fit for each in main.handles] == [Fit.FIRST, Fit.GAP]
    assert (main.refused, main.refused_code) == (1, Reason.HANDLE_SIGNATURE_INVALID)


def test_without_keys_nothing_is_verified() -> None:
    mint = HandleMint()
    watch = HandleWatch(None)
    for number in range(2):
        watch.take("main", mint.payload(START_US + number * US), START_US, retained=False)
    assert [(each.verified, each.time_us) for each in watch.distributors["main"].handles] == [(False, None)] * 2
    assert watch_json(watch)["verified"] is False


def test_topics_and_handles_are_bounded_and_repeats_are_no_news() -> None:
    mint = HandleMint()
    watch = HandleWatch(None)
    payload = mint.payload(START_US)
    for number in range(MAX_DISTRIBUTORS + 5):
        watch.take(f"d{number}", payload, START_US, retained=False)
    assert len(watch.distributors) == MAX_DISTRIBUTORS
    revision = watch.revision
    watch.take("d0", payload, START_US, retained=False)
    assert watch.revision == revision
    for number in range(MAX_HANDLES + 5):
        watch.take("d1", mint.payload(START_US + number * US + US), START_US, retained=False)
    assert len(watch.distributors["d1"].handles) == MAX_HANDLES
    watch.take("d2", b"nonsense", START_US, retained=False)
    assert watch.distributors["d2"].refused_code == Reason.MALFORMED
