"""Batches: each window ends by its own line, and by nothing that was said of the whole."""

import asyncio
import json
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_world import MemoryServer, plan, run, states, waiting, world
from tests.support.failing_disk import Call, FailingDisk
from tests.support.scripted_server import decision
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent import load as load_module
from fractal_lba.agent.deadletters import FILE, read_dead_letters
from fractal_lba.agent.load import REFUSED_S
from fractal_lba.agent.run import run_agent
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Exit, Tally
from fractal_lba.client import Answer, BatchAnswer, UnavailableError, UntrustedError
from fractal_lba.wal import RealDisk

SIZE = 16
COUNT = 20


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "WINDOWS_MAX", SIZE)


class Scripted(MemoryServer):
    """Answers the n-th batch by the n-th function of its records, and the later ones as usual.

    Attributes:
        calls: Time and count of records of every request, batches and records alone.
    """

    def __init__(
        self,
        *answers: Callable[["Scripted", Sequence[bytes]], BatchAnswer],
        status: Callable[[dict[str, Any]], int] = lambda _record: 200,
    ) -> None:
        super().__init__(status=status)
        self.answers = iter(answers)
        self.calls: list[tuple[float, int]] = []
        self._within = 0

    @override
    async def batch(self, bodies: Sequence[bytes]) -> BatchAnswer:
        self.calls.append((asyncio.get_running_loop().time(), len(bodies)))
        answering = next(self.answers, None)
        if answering is not None:
            await asyncio.sleep(self.latency_s)
            return answering(self, bodies)
        self._within += 1
        try:
            return await super().batch(bodies)
        finally:
            self._within -= 1

    @override
    async def submit(self, body: bytes) -> Answer:
        if not self._within:
            self.calls.append((asyncio.get_running_loop().time(), 1))
        return await super().submit(body)

    def decide(self, body: bytes) -> Answer:
        """Decide a record at once."""
        pcs_id = json.loads(body)["pcs_id"]
        return self.decided.setdefault(pcs_id, Answer(status=200, body=decision(pcs_id)))


def refusing(status: int, code: str | None = None, retry_after_s: float | None = None) -> Any:  # noqa: ANN401 - an answer of Scripted
    def answer(_server: Scripted, _bodies: Sequence[bytes]) -> BatchAnswer:
        return BatchAnswer(
            refusal=Answer(status=status, body=b"{}", code=code, retry_after_s=retry_after_s)
        )

    return answer


def lost(server: Scripted, bodies: Sequence[bytes]) -> BatchAnswer:
    """Decide every record and lose the answer."""
    for body in bodies:
        server.decide(body)
    raise UnavailableError("batch answer: expected 300 lines, got 12")


def shipped(data: Path, server: MemoryServer, **changes: Any) -> tuple[Tally, float]:  # noqa: ANN401 - of Plan's types
    """Ship what waits, and return the tally and how long it took."""

    async def main() -> tuple[Tally, float]:
        tally = await run(plan(data, **({"in_flight": 1} | changes)), world(server))
        return tally, asyncio.get_running_loop().time()

    return run_virtual(main())


def test_what_waits_goes_out_together_and_is_acknowledged_line_by_line(tmp_path: Path) -> None:
    server = Scripted()
    tally, _ = shipped(waiting(tmp_path, COUNT), server)
    assert [count for _, count in server.calls] == [SIZE, COUNT - SIZE]
    assert (tally.accepted, tally.pending, tally.retries, tally.requests) == (COUNT, 0, 0, 2)
    assert [each["delivery"]["attempt"] for each in server.sent] == [1] * COUNT
    assert [each["epoch"] for each in server.sent] == list(range(COUNT))
    assert set(states(tmp_path / "data")) == {"acknowledged"}


def test_a_window_alone_goes_out_as_a_record(tmp_path: Path) -> None:
    server = Scripted()
    shipped(waiting(tmp_path, 1), server)
    assert server.batches == []
    assert len(server.sent) == 1


def test_several_batches_are_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "WINDOWS_MAX", 2)
    server = Scripted()
    server.latency_s = 10.0
    tally, _ = shipped(waiting(tmp_path, COUNT), server, in_flight=4)
    assert server.calls == [(0.0, 2)] * 4 + [(10.0, 2)] * 4 + [(20.0, 2)] * 2
    assert tally.accepted == COUNT


def test_a_batch_holds_so_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fractal_lba.agent.request.BYTES_MAX", 4_000)
    server = Scripted()
    sizes: list[int] = []

    def measure(body: bytes) -> None:
        sizes.append(len(body) + 1)

    server.before = measure
    tally, _ = shipped(waiting(tmp_path, COUNT), server)
    assert tally.accepted == COUNT
    at = 0
    for count in server.batches:
        assert sum(sizes[at : at + count]) <= 4_000
        assert count == server.batches[-1] or sum(sizes[at : at + count + 1]) > 4_000
        at += count
    assert len(server.batches) > 2


STATUSES = [200, 202, 422, 409, 400, 401, 410, 413, 403, 200]
OPEN = [503, 429, 408, 500]


def test_mixed_outcomes_in_one_batch_end_each_window_as_its_line_says(tmp_path: Path) -> None:
    again = chain(OPEN, repeat(200))
    server = Scripted(
        status=lambda record: (
            STATUSES[record["epoch"]] if record["epoch"] < len(STATUSES) else next(again)
        )
    )
    data = waiting(tmp_path, len(STATUSES) + len(OPEN))
    tally, _ = shipped(data, server)
    assert server.batches == [14, 4]
    assert (tally.accepted, tally.escalated, tally.dead_letters) == (6, 1, 7)
    assert (tally.pending, tally.retries, tally.exit) == (0, 4, Exit.DEAD_LETTERS)
    expected = [*STATUSES, 200, 200, 200, 200]
    assert states(data) == ["acknowledged" if status < 300 else "dead" for status in expected]
    letters = [letter for letter in read_dead_letters(RealDisk(), data) if letter is not None]
    assert [(letter.epoch, letter.status) for letter in letters] == [
        (epoch, status) for epoch, status in enumerate(expected) if status > 300
    ]
    attempts = {each["epoch"]: each["delivery"]["attempt"] for each in server.sent}
    assert [epoch for epoch, attempt in attempts.items() if attempt == 2] == [10, 11, 12, 13]


def test_lines_are_sent_again_no_sooner_than_the_slowest_asks(tmp_path: Path) -> None:
    def asking(server: Scripted, bodies: Sequence[bytes]) -> BatchAnswer:
        busy = Answer(status=503, body=b"{}", code="storage_unavailable", retry_after_s=1.0)
        full = Answer(status=429, body=b"{}", code="quota_exceeded", retry_after_s=40.0)
        return BatchAnswer(lines=(busy, full, busy, *map(server.decide, bodies[3:])))

    server = Scripted(asking)
    tally, _ = shipped(waiting(tmp_path, 6), server)
    (_, six), (again_s, three) = server.calls
    assert (six, three) == (6, 3)
    assert 40.0 <= again_s <= 40.2
    assert (tally.accepted, tally.retries) == (6, 3)
    assert tally.last_failure == "answer 429 quota_exceeded"


def test_a_refusal_for_the_moment_is_waited_for_with_jitter(tmp_path: Path) -> None:
    data = waiting(tmp_path, 3)
    waits = set()
    for seed in range(8):
        server = Scripted(refusing(503, "overloaded", 2.0))

        async def main(seed: int = seed, server: Scripted = server) -> None:
            tally = Tally(say=lambda _text: None)
            stop = Stop()
            asyncio.get_running_loop().call_later(2.5, stop.sending.set)
            given = plan(data, in_flight=1)
            await run_agent(given, world(server, seed=seed), stop, tally)

        # Nobody is left to answer: only the times count.
        server.is_down = True
        run_virtual(main())
        waits.add(round(server.calls[1][0], 6))
        assert all(2.0 <= wait <= 2.2 for wait in waits)
    assert len(waits) > 1


@pytest.mark.parametrize(("status", "then"), [(429, 16), (503, 8), (408, 8), (502, 8), (302, 8)])
def test_a_refusal_for_the_moment_leads_to_less_but_where_it_asks_for_later(
    tmp_path: Path, status: int, then: int
) -> None:
    server = Scripted(refusing(status))
    tally, _ = shipped(waiting(tmp_path, SIZE), server)
    assert [count for _, count in server.calls][:2] == [SIZE, then]
    assert (tally.accepted, tally.dead_letters) == (SIZE, 0)


@pytest.mark.parametrize("code", [None, "too_large"])
def test_a_batch_that_is_too_large_goes_out_in_halves_and_kills_nothing(
    tmp_path: Path, code: str | None
) -> None:
    server = Scripted(*[refusing(413, code)] * 2)
    tally, took_s = shipped(waiting(tmp_path, SIZE), server)
    assert [count for _, count in server.calls] == [16, 8, 4, 4, 4, 4]
    assert (tally.accepted, tally.dead_letters) == (SIZE, 0)
    assert (tally.requests, tally.retries) == (6, 16 + 8)
    assert took_s < 1.0  # a refusal of the size is no reason to wait


def test_after_a_minute_larger_batches_are_tried_again(tmp_path: Path) -> None:
    server = Scripted(refusing(413))
    server.latency_s = REFUSED_S / 6
    shipped(waiting(tmp_path, 82), server)
    assert [count for _, count in server.calls] == [16, *[8] * 6, 16, 16, 2]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_encoding"),
        (400, None),
        (401, "unauthenticated"),
        (403, None),
        (404, "not_found"),
        (404, None),
        (405, "method_not_allowed"),
        (415, "unsupported_media_type"),
        (422, None),
    ],
)
def test_a_refusal_of_the_whole_ends_no_window_and_each_is_answered_alone(
    tmp_path: Path, status: int, code: str | None
) -> None:
    """As by a server of an earlier version, a proxy, or a server that does not know the caller."""
    server = Scripted(*[refusing(status, code)] * 9)
    said: list[str] = []

    def watch(_body: bytes) -> None:
        said.append(tally.trouble)

    server.before = watch
    data = waiting(tmp_path, SIZE)
    tally = Tally(say=lambda _text: None)
    run_virtual(run_agent(plan(data, in_flight=1), world(server), Stop(), tally))
    assert [count for _, count in server.calls] == [SIZE] + [1] * SIZE
    assert (tally.accepted, tally.dead_letters, tally.pending) == (SIZE, 0, 0)
    assert said[0] == f"answer {status} {code or ''}".rstrip() + f" to a batch of {SIZE}"
    assert {each["delivery"]["attempt"] for each in server.sent} == {2}


def test_what_was_refused_together_waits_for_nobodys_answer(tmp_path: Path) -> None:
    """A record that gets no final answer holds none of its batch back."""

    class Sick(Scripted):
        @override
        async def submit(self, body: bytes) -> Answer:
            answer = await super().submit(body)
            if json.loads(body)["epoch"] == 0 and len(self.decided) < COUNT - 1:
                self.decided.pop(json.loads(body)["pcs_id"], None)
                return Answer(status=500, body=b"{}", code="internal_error")
            return answer

    server = Sick(refusing(404))
    tally, _ = shipped(waiting(tmp_path, COUNT), server, in_flight=2)
    assert (tally.accepted, tally.pending) == (COUNT, 0)


def test_an_answer_that_is_lost_leads_to_a_smaller_batch_and_to_repeats(tmp_path: Path) -> None:
    server = Scripted(lost)
    tally, _ = shipped(waiting(tmp_path, SIZE), server)
    assert [count for _, count in server.calls] == [16, 8, 8]
    assert (tally.accepted, tally.repeats, tally.retries) == (SIZE, SIZE, SIZE)


def test_what_no_answer_comes_back_for_is_sent_alone_in_the_end(tmp_path: Path) -> None:
    server = Scripted(*[lost] * 4)
    tally, _ = shipped(waiting(tmp_path, 32), server)
    # And grows again with every answer.
    assert [count for _, count in server.calls] == [16, 8, 4, 2, 1, 2, 4, 8, 16, 1]
    assert (tally.accepted, tally.dead_letters) == (32, 0)


def test_windows_wait_for_a_server_until_it_can_be_trusted(tmp_path: Path) -> None:
    def untrusted(_server: Scripted, _bodies: Sequence[bytes]) -> BatchAnswer:
        raise UntrustedError("POST: expected an answer, got a certificate that has expired")

    tally, _ = shipped(waiting(tmp_path, SIZE), Scripted(*[untrusted] * 3))
    assert (tally.accepted, tally.dead_letters, tally.pending) == (SIZE, 0, 0)


def test_an_answer_out_of_step_answers_none(tmp_path: Path) -> None:
    """The right count, each line whole, and one of them another record's."""

    def shifted(server: Scripted, bodies: Sequence[bytes]) -> BatchAnswer:
        lines = [server.decide(body) for body in bodies]
        return BatchAnswer(lines=(*lines[1:], lines[0]))

    def conflict(server: Scripted, bodies: Sequence[bytes]) -> BatchAnswer:
        other = b'{"code":"pcs_id_conflict","pcs_id":"' + b"0" * 64 + b'"}'
        lines = [server.decide(body) for body in bodies]
        return BatchAnswer(
            lines=(*lines[:-1], Answer(status=409, body=other, code="pcs_id_conflict"))
        )

    def nameless(server: Scripted, bodies: Sequence[bytes]) -> BatchAnswer:
        lines = [server.decide(body) for body in bodies]
        return BatchAnswer(lines=(*lines[:-1], Answer(status=404, body=b"{}", code="not_found")))

    server = Scripted(shifted, conflict, nameless)
    data = waiting(tmp_path, SIZE)
    tally, _ = shipped(data, server)
    assert [count for _, count in server.calls] == [16, 8, 4, 2, 4, 8, 2]
    assert (tally.accepted, tally.dead_letters, tally.repeats) == (SIZE, 0, SIZE)
    assert list(read_dead_letters(RealDisk(), data)) == []


def test_a_run_that_ends_between_a_batch_and_its_answer_sends_it_again(tmp_path: Path) -> None:
    server = Scripted()
    server.latency_s = 10.0
    data = waiting(tmp_path, COUNT)

    async def main() -> Tally:
        stop = Stop()
        asyncio.get_running_loop().call_later(15.0, stop.sending.set)
        return await run(plan(data, in_flight=1), world(server), stop)

    first = run_virtual(main())
    assert (first.accepted, first.pending, first.exit) == (SIZE, COUNT - SIZE, Exit.PENDING)
    for record in server.sent:
        server.decide(json.dumps(record).encode())
    again, _ = shipped(data, server)
    assert (again.resumed, again.accepted, again.repeats) == (4, 4, 4)


def test_a_window_that_cannot_be_read_back_holds_none_of_its_batch_back(tmp_path: Path) -> None:
    data = waiting(tmp_path, COUNT)
    server = Scripted()

    def damage(_body: bytes) -> None:
        server.before = lambda _body: None
        for segment in (data / "outbox").glob("*.seg"):
            segment.write_bytes(segment.read_bytes().replace(b'"epoch":18', b'"epoch":99'))

    server.before = damage
    tally, _ = shipped(data, server)
    assert server.batches == [SIZE, COUNT - SIZE - 1]
    assert (tally.accepted, tally.pending, tally.exit) == (COUNT - 1, 1, Exit.UNWRITABLE)
    assert len(tally.durability_failures) == 1


def test_dead_letters_of_a_batch_are_one_write_and_no_line_of_it_is_noted_without_them(
    tmp_path: Path,
) -> None:
    data = waiting(tmp_path, 6)
    server = Scripted(status=lambda record: 422 if record["epoch"] % 2 else 200)
    disk = FailingDisk(RealDisk())
    whole = run_virtual(run(plan(data, in_flight=1), world(server, disk)))
    disk.abandon()
    assert (whole.accepted, whole.dead_letters) == (3, 3)
    writes = [call for call in disk.calls if call == Call("write_at", FILE)]
    assert len(writes) == 1
    other = waiting(tmp_path / "other", 6)
    server = Scripted(status=lambda record: 422 if record["epoch"] % 2 else 200)
    server.before = lambda _body: (other / FILE).mkdir(exist_ok=True)
    failed = run_virtual(run(plan(other, in_flight=1), world(server)))
    assert (failed.accepted, failed.dead_letters, failed.pending) == (3, 0, 3)
    (other / FILE).rmdir()
    assert states(other) == ["acknowledged", "pending"] * 3
