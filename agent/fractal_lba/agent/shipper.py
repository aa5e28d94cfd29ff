"""Shipping: durable windows out, final answers in.

For each window, in this order: read the record back, send it until an answer is final, write the
dead letter where it was not accepted, note the answer in the outbox. A crash between any two of
these leads to a repeat, never to a loss.

Whatever waits goes out together, a line for each window, and each is answered by its own line. What
a server says of a batch as a whole ends no window: it is sent again, in smaller batches or alone.
What was refused for the moment is planned for later (``waiting``), and takes no place meanwhile.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fractal_lba.agent.breaker import Permit, State
from fractal_lba.agent.budget import Budget
from fractal_lba.agent.measures import Kind, Sample
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import Clock, Server, now_ms
from fractal_lba.agent.request import Past, Window, ask, bodies_of
from fractal_lba.agent.route import Endpoint, Route
from fractal_lba.agent.settle import Ended, Settling
from fractal_lba.agent.stop import first_of
from fractal_lba.agent.tally import Tally
from fractal_lba.agent.verdict import in_words, may_be_its_own
from fractal_lba.agent.waiting import Waiting
from fractal_lba.client import Answer, RetryPolicy, UnavailableError
from fractal_lba.protocol import DurabilityError, Refusal, format_timestamp

_TOO_MANY_REQUESTS = 429
_FAULT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A request under way.

    Attributes:
        endpoint: Where it goes.
        permit: The right to send it.
        windows: What it carries.
        sent_s: When it went out.
        is_again: It carries windows that were sent before.
    """

    endpoint: Endpoint
    permit: Permit
    windows: Sequence[Window]
    sent_s: float
    is_again: bool


@dataclass(slots=True, kw_only=True)
class Shipper:
    """Sends what the outbox holds.

    Attributes:
        settling: What is done with final answers.
        servers: By name, the preferred one first.
        in_flight: Requests on their way at once to each, at the most.
        is_ordered: A stream's next window goes out only when the one before it is final.
    """

    outbox: Outbox
    settling: Settling
    servers: Mapping[str, Server]
    policy: RetryPolicy
    rng: random.Random
    in_flight: int
    is_ordered: bool
    tally: Tally
    clock: Clock
    _route: Route = field(init=False)
    _waiting: Waiting = field(init=False)
    _budget: Budget = field(default_factory=Budget)
    _pasts: dict[int, Past] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with every endpoint, and nothing waiting."""
        self._route = Route(self.servers, in_flight=self.in_flight)
        self._waiting = Waiting(is_ordered=self.is_ordered)

    async def run(self) -> None:
        """Send until the outbox is empty and will stay so, or sending is stopped."""
        await first_of(self.settling.stop.sending, self._send_all())

    def samples(self) -> Iterator[Sample]:
        """Yield the numbers of sending; see ``Measured``."""
        yield from self._route.samples()
        yield Sample(
            name="flk_agent_retry_budget_requests",
            kind=Kind.GAUGE,
            meaning="Requests that may be sent again at once; negative where some wait for that.",
            value=self._budget.saved,
        )

    async def _send_all(self) -> None:
        news = self.outbox.news
        async with asyncio.TaskGroup() as group:
            while True:
                news.clear()
                for seq, shard_id in self.outbox.arrivals():
                    self._waiting.add(shard_id, seq)
                if self.outbox.is_ended and not self._waiting.count:
                    return
                due_s = self._send_what_can(group)
                if due_s is None:
                    await news.wait()
                else:
                    wait_s = max(0.0, due_s - self.clock.monotonic_s())
                    await first_of(news, self.clock.sleep(wait_s))

    def _send_what_can(self, group: asyncio.TaskGroup) -> float | None:
        """Send what can go out now; return when time alone lets more, None for never."""
        now_s = self.clock.monotonic_s()
        self._waiting.wake(now_s)
        while self._waiting.is_ready:
            way = self._route.take(now_s)
            if way is None:
                break
            endpoint, permit = way
            # A probe asks whether somebody is there: one window is enough.
            taken = self._waiting.take(1 if permit.is_probe else endpoint.load.windows)
            group.create_task(self._send(endpoint, permit, taken))
        way_s = self._route.due_s(now_s) if self._waiting.is_ready else None
        return min((at for at in (self._waiting.due_s, way_s) if at is not None), default=None)

    async def _send(
        self, endpoint: Endpoint, permit: Permit, taken: Sequence[tuple[str, int]]
    ) -> None:
        try:
            windows = [
                window
                for shard_id, seq in taken
                if (window := await self._read(shard_id, seq)) is not None
            ]
            if windows:
                await self._exchange(endpoint, permit, windows)
            else:
                endpoint.breaker.release(permit, self.clock.monotonic_s())
        finally:
            endpoint.in_flight -= 1
            self.outbox.news.set()

    async def _read(self, shard_id: str, seq: int) -> Window | None:
        try:
            record = await self.outbox.read(seq)
        except DurabilityError as error:
            self.settling.failed(error)  # it stays pending
            self._waiting.lose(shard_id)
            return None
        except Refusal as error:
            # What cannot be read now never can: it stays pending, and holds nothing up.
            self.tally.unreadable += 1
            self.tally.say(f"outbox window {seq}: expected a record, got something else: {error}")
            self._waiting.end(shard_id)
            return None
        past = self._pasts.setdefault(seq, Past(begun_s=self.clock.monotonic_s()))
        return Window(seq=seq, record=record, past=past)

    async def _exchange(
        self, endpoint: Endpoint, permit: Permit, windows: Sequence[Window]
    ) -> None:
        bodies = bodies_of(windows, at=format_timestamp(now_ms(self.clock)))
        windows, rest = windows[: len(bodies)], windows[len(bodies) :]
        for shard_id, some in _by_stream(rest).items():
            self._waiting.give_back(shard_id, [window.seq for window in some])
        is_batch = len(windows) > 1 or (
            # Answered on a line it shows whether the refusal was of this window or of all.
            windows[0].past.refusals > 0 and endpoint.load.lets_batches
        )
        if not all(window.past.attempts for window in windows):
            self._budget.sent_new()
        call = _Call(
            endpoint=endpoint,
            permit=permit,
            windows=windows,
            sent_s=self.clock.monotonic_s(),
            is_again=any(window.past.attempts for window in windows),
        )
        for window in windows:
            window.past.attempts += 1
        self.tally.requests += 1
        try:
            answers = await ask(endpoint.server, windows, bodies, is_batch=is_batch)
        except UnavailableError as error:
            self._postpone(call, error)
            return
        if isinstance(answers, Answer):
            self._refused(call, answers)
        elif is_batch or answers[0].is_final or may_be_its_own(answers[0]):
            await self._answered(call, answers)
        else:
            self._postpone(call, answers[0])

    async def _answered(self, call: _Call, answers: Sequence[Answer]) -> None:
        """Take an answer to each window: end those that have a final one, plan the others."""
        endpoint, now_s = call.endpoint, self.clock.monotonic_s()
        ended: list[Ended] = []
        still_open: list[Ended] = []
        for window, answer in zip(call.windows, answers, strict=True):
            (ended if answer.is_final else still_open).append(Ended(window, answer))
        # A fault that a window brings out each time tells but once that something is wrong.
        fault = not ended and len(call.windows) == 1 and answers[0].status // 100 == _FAULT
        is_first = call.windows[0].past.refusals == 0
        self._settle_call(call, is_failed=fault and is_first)
        endpoint.failures = 0
        endpoint.results["answered"] += 1
        endpoint.pace.answered(endpoint.in_flight, sent_s=call.sent_s)
        if ended:
            if now_s - call.sent_s >= endpoint.breaker.rule.slow_s:
                endpoint.load.unanswered(len(call.windows))
            else:
                endpoint.load.answered(now_s=now_s)
            if call.is_again:
                self._budget.answered_again()
            await self._end(ended)
        if still_open:
            self._plan(still_open, {each.window.shard_id for each in ended})

    async def _end(self, ended: Sequence[Ended]) -> None:
        lost = await self.settling.settle(ended)
        for each in ended:
            shard_id, seq = each.window.shard_id, each.window.seq
            del self._pasts[seq]
            if seq in lost:
                self._waiting.lose(shard_id)
            else:
                self._waiting.end(shard_id)

    def _plan(self, still_open: Sequence[Ended], alive: set[str]) -> None:
        """Plan windows whose own answers were not final.

        Args:
            still_open: Each with its answer.
            alive: Streams of which a window got a final answer in the same request.
        """
        now_s = self.clock.monotonic_s()
        slot_s = self._budget.plan(now_s)
        for shard_id, some in _by_stream([each.window for each in still_open]).items():
            answers = [each.answer for each in still_open if each.window.shard_id == shard_id]
            worst = max(answers, key=lambda each: each.retry_after_s or 0.0)
            self.tally.retried(f"answer {in_words(worst)}", len(some), status=worst.status)
            times = self._waiting.failures(shard_id)
            # One that was refused before says nothing new of its stream.
            is_alone = shard_id in alive or (
                not times and all(window.past.refusals for window in some)
            )
            for window in some:
                window.past.refusals += 1
            if is_alone:
                times = max(window.past.refusals for window in some) - 1
            wait_s = self.policy.wait_s(times + 1, self.rng, asked_s=worst.retry_after_s or 0.0)
            later = self._waiting.delay if is_alone else self._waiting.hold
            later(shard_id, [window.seq for window in some], max(slot_s, now_s + wait_s))

    def _refused(self, call: _Call, refusal: Answer) -> None:
        """Take an answer to a batch as a whole, which ends no window."""
        if not refusal.is_final:
            self._postpone(call, refusal)
            return
        now_s, count = self.clock.monotonic_s(), len(call.windows)
        self._settle_call(call, is_failed=False)
        call.endpoint.failures = 0
        call.endpoint.results["refused"] += 1
        call.endpoint.load.refused(count, refusal.status, now_s=now_s)
        self.tally.retried(
            f"answer {in_words(refusal)} to a batch of {count}", count, status=refusal.status
        )
        for shard_id, some in _by_stream(call.windows).items():
            self._waiting.give_back(shard_id, [window.seq for window in some])

    def _postpone(self, call: _Call, reason: Answer | UnavailableError) -> None:
        """Plan the windows of a request that nothing was said to, but to come later."""
        endpoint, now_s, count = call.endpoint, self.clock.monotonic_s(), len(call.windows)
        asked_s = min(reason.retry_after_s or 0.0, self.policy.retry_after_max_s)
        is_rate = isinstance(reason, Answer) and reason.status == _TOO_MANY_REQUESTS
        if isinstance(reason, Answer):
            self.tally.retried(f"answer {in_words(reason)}", count, status=reason.status)
        else:
            self.tally.retried(str(reason), count)
        endpoint.results["refused" if is_rate else "failed"] += 1
        endpoint.failures += 1
        attempts = max(window.past.attempts for window in call.windows)
        wait_s = self.policy.wait_s(max(endpoint.failures, attempts), self.rng, asked_s=asked_s)
        self._settle_call(call, is_failed=not is_rate, asked_s=asked_s)
        endpoint.pace.refused(
            sent_s=call.sent_s,
            now_s=now_s,
            until_s=now_s + wait_s,
            asked_s=asked_s if is_rate else 0.0,
        )
        if not is_rate:  # which asks for later, not for less
            endpoint.load.unanswered(count)
        if self._route.leads_elsewhere(endpoint):
            # Who asks another server has no reason to wait.
            for shard_id, some in _by_stream(call.windows).items():
                self._waiting.give_back(shard_id, [window.seq for window in some])
            return
        until_s = max(self._budget.plan(now_s), now_s + wait_s)
        for shard_id, some in _by_stream(call.windows).items():
            self._waiting.delay(shard_id, [window.seq for window in some], until_s)

    def _settle_call(self, call: _Call, *, is_failed: bool, asked_s: float = 0.0) -> None:
        """Tell the breaker how a request ended, and a person where that changes the route."""
        endpoint, now_s = call.endpoint, self.clock.monotonic_s()
        before = endpoint.breaker.state
        endpoint.breaker.settle(
            call.permit,
            is_failed=is_failed,
            took_s=now_s - call.sent_s,
            now_s=now_s,
            chance=self.rng.random(),
            asked_s=asked_s,
        )
        match before, endpoint.breaker.state:
            case State.HALF_OPEN, State.OPEN:
                endpoint.opened += 1
            case State.CLOSED, State.OPEN:
                endpoint.opened += 1
                self.tally.say(
                    f"{endpoint.name}: expected answers in time, got too many failures or late"
                    f" ones: asked rarely until it answers{self._last_trouble}"
                )
                endpoint.pace.restart()
            case State.HALF_OPEN, State.CLOSED:
                self.tally.say(f"{endpoint.name}: answers again")

    @property
    def _last_trouble(self) -> str:
        return f"; the last failure: {self.tally.trouble}" if self.tally.trouble else ""


def _by_stream(windows: Sequence[Window]) -> Mapping[str, list[Window]]:
    found: dict[str, list[Window]] = defaultdict(list)
    for window in windows:
        found[window.shard_id].append(window)
    return found
