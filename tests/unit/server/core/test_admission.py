from fractal_lba.server.core.admission import Rate, full, give_back, owe, take

_S = 1_000_000_000
RATE = Rate(per_s=2, burst=3)


def test_a_full_bucket_gives_its_burst_and_then_asks_to_wait() -> None:
    bucket = full(RATE, 0)
    waits = []
    for _ in range(4):
        bucket, wait_s = take(bucket, RATE, 0)
        waits.append(wait_s)
    assert waits == [0, 0, 0, 0.5]


def test_tokens_come_back_at_the_rate_and_never_above_the_burst() -> None:
    bucket = full(RATE, 0)
    for _ in range(3):
        bucket, _ = take(bucket, RATE, 0)
    bucket, wait_s = take(bucket, RATE, _S // 2)
    assert wait_s == 0
    bucket, _ = take(bucket, RATE, 1_000 * _S)
    assert bucket.tokens == RATE.burst - 1


def test_a_clock_that_steps_back_takes_nothing_away() -> None:
    bucket, _ = take(full(RATE, 10 * _S), RATE, 10 * _S)
    bucket, wait_s = take(bucket, RATE, 9 * _S)
    assert wait_s == 0
    assert bucket.tokens == 1


def test_no_rate_is_no_limit() -> None:
    bucket = full(Rate(per_s=0, burst=1), 0)
    for _ in range(10):
        bucket, wait_s = take(bucket, Rate(per_s=0, burst=1), 0)
        assert wait_s == 0


def test_what_is_given_back_is_there_again_and_never_above_the_burst() -> None:
    bucket, _ = take(full(RATE, 0), RATE, 0)
    assert give_back(bucket, RATE) == full(RATE, 0)
    assert give_back(full(RATE, 0), RATE) == full(RATE, 0)


def test_several_tokens_are_taken_together_or_not_at_all() -> None:
    bucket, wait_s = take(full(RATE, 0), RATE, 0, wanted=2)
    assert (bucket.tokens, wait_s) == (1, 0)
    assert take(bucket, RATE, 0, wanted=3) == (bucket, 1.0)


def test_what_is_owed_is_earned_before_anything_is_given() -> None:
    bucket = owe(full(RATE, 0), RATE, 4)
    assert bucket.tokens == -1
    assert take(bucket, RATE, 0, wanted=0)[1] == 0.5
    assert take(bucket, RATE, _S // 2, wanted=0)[1] == 0
    assert take(bucket, RATE, _S // 2)[1] == 0.5
    assert owe(full(Rate(per_s=0, burst=1), 0), Rate(per_s=0, burst=1), 9).tokens == 1
