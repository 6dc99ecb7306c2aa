"""The lag of partitions: the oldest message of each, however they are mixed, and no label that a stranger invents."""

import pytest

from runtime.mqtt import Message
from verifier_worker.adapters.queue_metrics import OTHER, PartitionLag, partition_of


def message(topic: str, received_s: float) -> Message:
    return Message(topic=topic, payload=b"", retained=False, packet_id=1, connection=1, received_s=received_s)


@pytest.mark.parametrize(
    ("topic", "partition"),
    [
        ("attestream/v1/evidence/0a/UEID", "0a"),
        ("evidence/ff/x", "ff"),
        ("attestream/v1/evidence/0A/x", OTHER),
        ("attestream/v1/evidence/0ab/x", OTHER),
        ("attestream/v1/evidence/zz/x", OTHER),
        ("attestream/v1/evidence//x", OTHER),
        ("x", OTHER),
        ("", OTHER),
    ],
)
def test_a_partition_is_two_hex_digits_or_other(topic: str, partition: str) -> None:
    assert partition_of(topic) == partition


def test_the_oldest_of_each_partition_counts_and_what_was_seen_stays_at_zero() -> None:
    lag = PartitionLag()
    waiting = [message("e/0a/1", 10.0), message("e/0b/2", 11.0), message("e/0a/3", 12.0), message("e/?!/4", 13.0)]
    lag.heard(waiting)
    assert lag.by_partition(waiting, 15.0) == {"0a": 5.0, "0b": 4.0, OTHER: 2.0}
    assert lag.by_partition(waiting[2:3], 16.0) == {"0a": 4.0, "0b": 0.0, OTHER: 0.0}
    assert lag.by_partition([], 17.0) == {"0a": 0.0, "0b": 0.0, OTHER: 0.0}


def test_strangers_cannot_make_more_series_than_there_are_partitions() -> None:
    lag = PartitionLag()
    flood = [message(f"e/{number:x}/1", 0.0) for number in range(5000)]
    lag.heard(flood)
    assert len(lag.by_partition(flood, 1.0)) <= 257


def test_a_partition_has_a_value_though_nobody_looked_while_its_evidence_waited() -> None:
    lag = PartitionLag()
    assert lag.by_partition([], 1.0) == {}
    lag.heard([message("e/0a/1", 1.0)])
    assert lag.by_partition([], 2.0) == {"0a": 0.0}
