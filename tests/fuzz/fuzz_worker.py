"""End to end: payloads on an attester's topic through ``Worker.process``, from no state and from a settled one.

The first byte chooses what the rest is: a payload, or the unsigned parts of evidence that is otherwise authentic -- as
only someone between attester and verifier can send it -- so that parsing goes as deep as replay and appraisal.
"""

from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import WORKER_SEEDS, feed_worker

SEEDS = WORKER_SEEDS
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    feed_worker(data)
