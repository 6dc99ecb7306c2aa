"""Finds the measurement log entries that a quote covers, and chooses those to send now.

The agent reads the logs after it quotes. A log is never behind its PCR, so some prefix of the entries read reproduces
the quote, however fast the machine measures. Entries beyond that prefix belong to the next quote.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import PeerError
from schemas.replay.bank_replay import BankReplay
from schemas.replay.log_replay import IMA, Quoted, ReplayState
from schemas.tpm.pcr import PcrValues


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Consecutive whole entries of one log.

    Attributes:
        start: index of the first, counted from 0 at boot.
        records: one binary record an entry; may be empty.
    """

    start: int
    records: tuple[bytes, ...]

    @property
    def end(self) -> int:
        """Index after the last entry."""
        return self.start + len(self.records)

    def between(self, start: int, end: int) -> tuple[bytes, ...]:
        """The records with indices ``start`` to ``end - 1``; ``start`` is not before the first."""
        return self.records[start - self.start : max(0, end - self.start)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The log entries that a quote covers.

    Attributes:
        replay: the replayed state after the covered entries.
        totals: by log name, index after the last covered entry.
        problem: why the entries do not reproduce the quote; None if they do.
    """

    replay: ReplayState
    totals: Mapping[str, int]
    problem: str | None = None


def cover(replay: ReplayState, logs: Mapping[str, Entries], quoted: Quoted, unlogged: PcrValues) -> Coverage:
    """Finds the longest prefix of the entries that reproduces a quote.

    Kernels extend banks other than SHA-1 in one of two ways. Both are tried until a quote has shown which one it is.

    Args:
        replay: the state after the entries replayed so far.
        logs: by name, entries read after the quote; they include the next entry that ``replay`` needs.
        quoted: selection and digest of the quote.
        unlogged: values of the PCRs that no log explains, read after the quote.

    Returns:
        The coverage. If no prefix reproduces the quote, it has all entries and names the problem: the evidence is sent
        anyway, and the verifier judges it.
    """
    fresh = {
        name: b"".join(entries.between(replay.next_index.get(name, 0), entries.end)) for name, entries in logs.items()
    }
    fresh = {name: data for name, data in fresh.items() if data}
    totals = {name: entries.end for name, entries in logs.items()}
    try:
        attempt = BankReplay(replay, fresh)
        found = attempt.until(quoted, unlogged)
        whole = attempt.whole.state if found is None else found.state
    except PeerError as error:
        return Coverage(replay=replay, totals=totals, problem=str(error))
    if found is None:
        return Coverage(replay=whole, totals=totals, problem="no prefix of the logs reproduces the quoted PCR digest")
    return Coverage(replay=whole, totals={name: whole.next_index.get(name, 0) for name in logs})


def outlived(coverage: Coverage, listed: Mapping[str, int]) -> bool:
    """Whether an IMA list holds entries that were there before the quote and that the quote does not cover.

    The kernel adds an entry to its list, then extends the PCR, and only then adds the next one. So a quote covers all
    entries that were listed before it, except perhaps the last. If it covers fewer, the TPM was reset while the kernel
    ran on: the machine hibernated.

    Args:
        coverage: of the quote.
        listed: by log name, how many entries were read before the quote was made.
    """
    covered = coverage.totals.get(IMA)  # None: the list could not be read this time
    return coverage.problem is None and covered is not None and covered < listed.get(IMA, 0) - 1


def choose_entries(
    logs: Mapping[str, Entries],
    starts: Mapping[str, int],
    totals: Mapping[str, int],
    budget_bytes: int,
    *,
    at_least_one: bool = True,
) -> dict[str, tuple[bytes, ...]]:
    """Chooses the entries to send now: from the end of each log's last increment on, as many as fit.

    Args:
        logs: by name, entries that contain all from ``starts`` to ``totals``.
        starts: by name, first entry not sent yet; nothing is sent of a log that is not named.
        totals: by name, index after the last covered entry.
        budget_bytes: for all records together.
        at_least_one: sends the first record even if it is larger than the budget, so that there is always progress.

    Returns:
        The records by log name, boot log first. Logs without records are left out.
    """
    chosen: dict[str, tuple[bytes, ...]] = {}
    left = budget_bytes
    for name in sorted(logs.keys() & starts.keys(), key=lambda each: (not each.startswith("tcg2"), each)):
        records = logs[name].between(starts[name], totals[name])
        count = 0
        for record in records:
            if len(record) > left and (chosen or count or not at_least_one):
                break
            left -= len(record)
            count += 1
        if count:
            chosen[name] = records[:count]
        if count < len(records):
            break
    return chosen
