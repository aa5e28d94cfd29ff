"""The retry policy: exponential backoff with full jitter, and the server's word above it.

The rule: an attempt is repeated for as long as no final answer came, never sooner than the server
asked, and never in step with other clients. Time and chance are arguments, so that a simulator can
drive the same code on its own clock.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, retry_if_result
from tenacity.stop import stop_never

from fractal_lba.client.answer import Answer
from fractal_lba.client.scheme import SchemeError
from fractal_lba.client.trust import UntrustedError
from fractal_lba.protocol import UnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to wait between two attempts.

    Attributes:
        wait_first_s: Upper bound of the first wait; each further one doubles it. A tenth of a
            second is what a server needs to bind its port again after a restart.
        wait_max_s: Where the doubling ends. Ten seconds keep a fleet's load on a server that is
            down low, and its delay after the server is back short.
        retry_after_max_s: A longer ``Retry-After`` counts as this. A mistaken date must not silence
            an agent for a year.
    """

    wait_first_s: float = 0.1
    wait_max_s: float = 10.0
    retry_after_max_s: float = 300.0

    def wait_s(self, attempt: int, rng: random.Random, *, asked_s: float = 0.0) -> float:
        """Return how long to wait behind an attempt: full jitter, on top of what the server asked.

        The jitter is added, not replaced: a server that tells everyone "in one second" would
        otherwise be met by everyone in the same instant.

        Args:
            attempt: Its number, 1 and up.
            rng: Where the jitter comes from.
            asked_s: The server's ``Retry-After``.

        Source: Brooker (2015), "Exponential backoff and jitter", the variant called full jitter.
        """
        # A float ends at 2^1024, a server may be away for longer.
        ceiling_s = min(self.wait_first_s * 2.0 ** min(attempt - 1, 64), self.wait_max_s)
        return min(asked_s, self.retry_after_max_s) + rng.uniform(0.0, ceiling_s)

    async def until_final(
        self,
        attempt: Callable[[int], Awaitable[Answer]],
        *,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]],
        on_retry: Callable[[Answer | UnavailableError], None],
    ) -> Answer:
        """Call ``attempt`` until its answer is final and return that answer.

        Args:
            attempt: Gets the number of the attempt, 1 and up. An ``UnavailableError`` or an answer
                that is not final leads to the next one; an ``UntrustedError``, a ``SchemeError``
                and any other exception is raised as it is.
            rng: Where the jitter comes from.
            sleep: Waits so many seconds.
            on_retry: Called before each wait with what made it necessary.
        """
        number = 0

        async def next_attempt() -> Answer:
            nonlocal number
            number += 1
            return await attempt(number)

        async def before_sleep(state: RetryCallState) -> None:
            assert state.outcome is not None, "tenacity waits only after an attempt"  # noqa: S101
            failure = state.outcome.exception()
            on_retry(failure if isinstance(failure, UnavailableError) else state.outcome.result())

        retrying = AsyncRetrying(
            sleep=sleep,
            stop=stop_never,
            wait=lambda state: self.wait_s(state.attempt_number, rng, asked_s=_asked_wait_s(state)),
            retry=retry_if_exception(_may_pass) | retry_if_result(_is_open),
            before_sleep=before_sleep,
        )
        return await retrying(next_attempt)


def _may_pass(failure: BaseException) -> bool:
    """Return whether the next attempt may meet something else."""
    return isinstance(failure, UnavailableError) and not isinstance(
        failure, UntrustedError | SchemeError
    )


def _is_open(answer: Answer) -> bool:
    """Return whether an answer leaves the record's fate open."""
    return not answer.is_final


def _asked_wait_s(retry_state: RetryCallState) -> float:
    """Return the seconds the server asked for last, 0 where it did not."""
    outcome = retry_state.outcome
    if outcome is None:
        return 0.0
    failure = outcome.exception()
    if isinstance(failure, UnavailableError):
        return failure.retry_after_s or 0.0
    answer = outcome.result()
    return answer.retry_after_s or 0.0 if isinstance(answer, Answer) else 0.0
