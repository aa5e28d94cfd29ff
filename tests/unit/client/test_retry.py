"""The retry policy on a clock of its own."""

import random

import pytest

from fractal_lba.client import Answer, RetryPolicy, SchemeError, UnavailableError, UntrustedError


class Attempts:
    """Gives the n-th outcome to the n-th attempt."""

    def __init__(self, *outcomes: Answer | BaseException) -> None:
        self.outcomes = list(outcomes)
        self.numbers: list[int] = []
        self.slept: list[float] = []
        self.reasons: list[object] = []

    async def attempt(self, number: int) -> Answer:
        self.numbers.append(number)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def note(self, reason: Answer | UnavailableError) -> None:
        self.reasons.append(reason)

    async def until_final(self, policy: RetryPolicy, seed: int = 1) -> Answer:
        rng = random.Random(seed)  # noqa: S311 - a seed, so that a failure can be replayed
        return await policy.until_final(self.attempt, rng=rng, sleep=self.sleep, on_retry=self.note)


def answer(status: int, retry_after_s: float | None = None) -> Answer:
    return Answer(status=status, body=b"", retry_after_s=retry_after_s)


@pytest.mark.asyncio
async def test_a_final_answer_ends_it_at_once() -> None:
    attempts = Attempts(answer(422))
    assert (await attempts.until_final(RetryPolicy())).status == 422
    assert attempts.numbers == [1]
    assert attempts.slept == []
    assert attempts.reasons == []


@pytest.mark.asyncio
async def test_everything_else_is_tried_again_and_numbered() -> None:
    open_ends: list[Answer | BaseException] = [
        answer(503),
        UnavailableError("cut"),
        answer(429),
        answer(408),
        answer(302),
    ]
    attempts = Attempts(*open_ends, answer(200))
    assert (await attempts.until_final(RetryPolicy())).status == 200
    assert attempts.numbers == [1, 2, 3, 4, 5, 6]
    assert len(attempts.slept) == 5
    assert attempts.reasons == open_ends


@pytest.mark.asyncio
async def test_a_defect_is_not_retried() -> None:
    attempts = Attempts(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await attempts.until_final(RetryPolicy())
    assert attempts.slept == []


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [UntrustedError, SchemeError])
async def test_a_server_that_is_not_the_one_meant_is_not_asked_again(
    kind: type[UnavailableError],
) -> None:
    attempts = Attempts(kind("certificates, or the scheme"))
    with pytest.raises(kind):
        await attempts.until_final(RetryPolicy())
    assert (attempts.numbers, attempts.slept, attempts.reasons) == ([1], [], [])


@pytest.mark.asyncio
async def test_waits_are_full_jitter_under_a_doubling_ceiling() -> None:
    policy = RetryPolicy(wait_first_s=0.5, wait_max_s=4.0)
    ceilings = [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    waits = []
    for seed in range(300):
        attempts = Attempts(*[answer(503)] * len(ceilings), answer(200))
        await attempts.until_final(policy, seed)
        waits.append(attempts.slept)
    for place, ceiling in enumerate(ceilings):
        at_place = [each[place] for each in waits]
        assert all(0 <= wait <= ceiling for wait in at_place)
        # Full jitter reaches from nothing to the ceiling; 300 draws miss a tenth once in 10^13.
        assert min(at_place) < ceiling / 10
        assert max(at_place) > ceiling * 9 / 10


@pytest.mark.asyncio
async def test_the_same_seed_waits_the_same() -> None:
    slept = []
    for _ in range(2):
        attempts = Attempts(*[answer(503)] * 5, answer(200))
        await attempts.until_final(RetryPolicy(), seed=7)
        slept.append(attempts.slept)
    assert slept[0] == slept[1]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "asking", [answer(429, 3.0), answer(503, 3.0), UnavailableError("", retry_after_s=3.0)]
)
async def test_it_never_comes_back_sooner_than_asked(asking: Answer | UnavailableError) -> None:
    waits = []
    for seed in range(50):
        attempts = Attempts(asking, answer(200))
        await attempts.until_final(RetryPolicy(wait_first_s=0.5), seed)
        waits += attempts.slept
    assert all(3.0 <= wait <= 3.5 for wait in waits)
    assert len(set(waits)) == len(waits)  # not all in the same instant


@pytest.mark.asyncio
async def test_a_mistaken_date_does_not_silence_an_agent() -> None:
    attempts = Attempts(answer(503, 4e9), answer(200))
    await attempts.until_final(RetryPolicy(wait_first_s=0.5, retry_after_max_s=60.0))
    assert 60.0 <= attempts.slept[0] <= 60.5
