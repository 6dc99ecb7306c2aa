"""``relying-party audit times`` against a lying verifier, and a device whose clock was set: it claims no more."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from schemas.audit.entry import EvidenceEntry, encode_entry, parse_entry
from schemas.codecs import cose, jws
from schemas.messages.result import from_claims, to_claims
from tests.worlds.audited_times import audited, bad, entries
from tests.worlds.verifier import Verifying


def test_a_result_that_came_with_a_handle_claims_no_more_either(tmp_path: Path, at_end: ExitStack) -> None:
    """The result is in an entry of its own, without evidence."""
    verifying = at_end.enter_context(Verifying(tmp_path))
    raw = verifying.mint.raw(verifying.now_us)
    handle = verifying.verified(raw)
    verifying.pass_s(1)
    verifying.device.sync(handle)
    verifying.push()
    verifying.take_handle(raw)
    assert verifying.worker.resolve(handle.id, verifying.receipt_us()) == 1
    verifying.worker.settle()
    log = entries(verifying)
    assert bad(audited(verifying, log)) == []
    entry = parse_entry(log[-1][1])
    assert isinstance(entry, EvidenceEntry)
    assert entry.payload is None
    assert entry.result is not None
    said = from_claims(jws.unverified_claims(entry.result))
    assert said.made_after_us is not None
    assert said.received_us is not None
    key_id = cose.key_id(verifying.key.public_key()).hex()
    for lie in (
        replace(said, made_after_us=said.made_after_us + 1),
        replace(said, received_us=said.received_us + 1),
        replace(said, made_before_us=said.made_after_us),
    ):
        token = jws.sign(to_claims(lie, "x", "y"), verifying.key, key_id)
        forged = [*log[:-1], (log[-1][0], encode_entry(replace(entry, result=token)))]
        assert [at for at, _ in bad(audited(verifying, forged))] == [len(log) - 1]
    elsewhere = [*log[:-3], *log[-2:]]  # the earlier audit log was moved away
    assert any(row.pending for row in audited(verifying, elsewhere))


def test_a_clock_that_was_set_bounds_no_quote_of_after_it(tmp_path: Path, at_end: ExitStack) -> None:
    """The clock is set forward, a quote is made and held back, then comes the next proof: the proofs reveal it."""
    verifying = at_end.enter_context(Verifying(tmp_path))
    handle = verifying.new_handle()
    verifying.device.sync(handle)
    verifying.push()
    verifying.device.set_clock(100_000)
    held, made_us = verifying.device.push(elapsed_ms=1), verifying.now_us
    verifying.pass_s(1)
    verifying.device.sync(verifying.new_handle())
    after = verifying.device.push(elapsed_ms=1)
    verifying.pass_s(100)
    for evidence in (held, after):
        verifying.receive(evidence)
    rows = audited(verifying, entries(verifying))
    assert rows[1].after_us is not None
    assert rows[1].after_us <= made_us
    assert any("clock set" in problem for problem in rows[1].problems)  # the verifier did not know that yet
    assert rows[2].after_us is not None
    assert rows[2].after_us <= made_us + 1_000_000
    assert not rows[2].problems


def test_a_clock_that_was_cleared_makes_no_old_quote_young(tmp_path: Path, at_end: ExitStack) -> None:
    """Two clock epochs with reset and restart count 0: a proof of the second bounds no quote of the first."""
    verifying = at_end.enter_context(Verifying(tmp_path))
    verifying.device.sync(verifying.new_handle())
    verifying.push()
    verifying.device.clear()
    verifying.pass_s(10)
    verifying.device.sync(verifying.new_handle())
    held = verifying.device.push(full=True, resend={"tcg2": 0, "ima": 0}, elapsed_ms=1)
    made_us = verifying.now_us
    verifying.pass_s(100)
    verifying.device.clear()
    verifying.pass_s(20)
    verifying.device.sync(verifying.new_handle())
    after = verifying.device.push(elapsed_ms=1)
    for evidence in (held, after):
        verifying.pass_s(1)
        verifying.receive(evidence)
    rows = audited(verifying, entries(verifying))
    assert rows[1].after_us is not None
    assert rows[1].after_us <= made_us
