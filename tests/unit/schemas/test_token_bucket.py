"""A token bucket allows a burst, then its rate."""

from schemas.token_bucket import TokenBucket, full_bucket


def test_the_bucket_allows_a_burst_and_then_its_rate() -> None:
    bucket: TokenBucket | None = full_bucket(2, 0.5, 100)
    for _ in range(2):
        assert bucket is not None
        bucket = bucket.take(100)
    assert bucket is not None
    assert bucket.take(101.9) is None
    assert bucket.take(102) is not None
    rested = bucket.take(10_000)
    assert rested is not None
    assert rested.tokens == 1
