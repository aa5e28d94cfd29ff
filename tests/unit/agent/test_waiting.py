"""What waits: streams in turn, none in the way of another, each window once."""

import math

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from fractal_lba.agent.waiting import Waiting


def filled(*, is_ordered: bool = False, **counts: int) -> Waiting:
    """Return so many windows of each stream, numbered from 0 on in each."""
    waiting = Waiting(is_ordered=is_ordered)
    for shard_id, many in counts.items():
        for seq in range(many):
            waiting.add(shard_id, seq)
    return waiting


def numbers(taken: list[tuple[str, int]]) -> list[int]:
    return [seq for _, seq in taken]


def test_a_long_stream_keeps_a_short_one_waiting_for_one_request() -> None:
    waiting = filled(long=1_000, short=2)
    assert {shard_id for shard_id, _ in waiting.take(10)} == {"long"}
    assert waiting.take(10)[:2] == [("short", 0), ("short", 1)]


def test_a_request_is_filled_from_the_streams_behind() -> None:
    assert filled(a=2, b=1, c=5).take(5) == [("a", 0), ("a", 1), ("b", 0), ("c", 0), ("c", 1)]


def test_what_is_given_back_goes_before_the_rest() -> None:
    waiting = filled(a=5)
    waiting.take(3)
    waiting.give_back("a", [1, 2])
    assert numbers(waiting.take(9)) == [1, 2, 3, 4]


def test_a_delayed_window_keeps_nothing_of_its_stream_waiting() -> None:
    waiting = filled(a=3)
    waiting.take(1)
    waiting.delay("a", [0], 10.0)
    assert numbers(waiting.take(1)) == [1]
    assert waiting.due_s == 10.0
    waiting.wake(10.0)
    assert numbers(waiting.take(9)) == [0, 2]


def test_a_stuck_stream_tries_one_window_after_the_other() -> None:
    waiting = filled(a=4)
    waiting.hold("a", numbers(waiting.take(2)), 1.0)
    assert not waiting.is_ready
    tried = []
    for now_s in range(1, 6):
        waiting.wake(float(now_s))
        assert waiting.failures("a") == now_s
        taken = waiting.take(9)
        tried += numbers(taken)
        waiting.hold("a", numbers(taken), now_s + 1.0)
    assert tried == [0, 1, 2, 3, 0]


def test_a_stream_that_is_answered_again_goes_on_faster_and_faster() -> None:
    waiting = filled(a=100)
    waiting.hold("a", numbers(waiting.take(1)), 1.0)
    waiting.wake(1.0)
    sizes = []
    while waiting.count:
        taken = waiting.take(1_000)
        sizes.append(len(taken))
        for shard_id, _ in taken:
            waiting.end(shard_id)
    assert sizes[:3] == [1, 2, 8]
    assert sum(sizes) == 100


def test_answers_of_one_moment_hold_a_stream_once() -> None:
    waiting = filled(a=40)
    requests = [numbers(waiting.take(10)) for _ in range(4)]
    for number, seqs in enumerate(requests):
        waiting.hold("a", seqs, 1.0 + number)
    assert waiting.failures("a") == 1
    waiting.wake(1.0)
    assert len(waiting.take(99)) == 1


def test_in_order_the_next_window_waits_for_the_one_before() -> None:
    waiting = filled(is_ordered=True, a=2, b=1)
    assert waiting.take(9) == [("a", 0), ("b", 0)]
    assert not waiting.is_ready
    waiting.delay("a", [0], 5.0)
    assert not waiting.is_ready
    waiting.wake(5.0)
    assert waiting.take(9) == [("a", 0)]
    waiting.end("a")
    assert waiting.take(9) == [("a", 1)]


def test_in_order_a_stuck_stream_tries_the_same_window_again() -> None:
    waiting = filled(is_ordered=True, a=2)
    for now_s in (1.0, 2.0, 3.0):
        assert numbers(waiting.take(9)) == [0]
        waiting.hold("a", [0], now_s)
        waiting.wake(now_s)


def test_in_order_nothing_overtakes_a_window_that_is_lost() -> None:
    waiting = filled(is_ordered=True, a=2, b=1)
    waiting.take(1)
    waiting.lose("a")
    assert waiting.take(9) == [("b", 0)]
    free = filled(a=2)
    free.take(1)
    free.lose("a")
    assert numbers(free.take(9)) == [1]


class Machine(RuleBasedStateMachine):
    """Everything that can befall windows, against sets of where each of them must be."""

    @initialize(is_ordered=st.booleans())
    def begin(self, is_ordered: bool) -> None:  # noqa: FBT001 - drawn
        self.is_ordered = is_ordered
        self.waiting = Waiting(is_ordered=is_ordered)
        self.now_s = 0.0
        self.seq = 0
        self.inside: dict[int, str] = {}
        self.sent: dict[int, str] = {}
        self.not_before: dict[int, float] = {}

    @rule(shard_id=st.sampled_from("abc"), many=st.integers(1, 5))
    def windows_come(self, shard_id: str, many: int) -> None:
        for _ in range(many):
            self.waiting.add(shard_id, self.seq)
            self.inside[self.seq] = shard_id
            self.seq += 1

    @rule(seconds=st.floats(0.0, 5.0))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.waiting.wake(self.now_s)
        assert self.waiting.due_s is None or self.waiting.due_s > self.now_s

    @rule(most=st.integers(1, 6))
    def some_are_taken(self, most: int) -> None:
        was_ready = self.waiting.is_ready
        taken = self.waiting.take(most)
        assert bool(taken) == was_ready
        assert len(taken) <= most
        for shard_id, seq in taken:
            assert self.inside[seq] == shard_id
            assert seq not in self.sent
            assert self.not_before.get(seq, 0.0) <= self.now_s
            if self.is_ordered:
                assert shard_id not in self.sent.values()
                assert seq == min(at for at, stream in self.inside.items() if stream == shard_id)
            self.sent[seq] = shard_id

    def of_one_stream(self, data: st.DataObject) -> tuple[str, list[int]] | None:
        if not self.sent:
            return None
        shard_id = data.draw(st.sampled_from(sorted(set(self.sent.values()))))
        seqs = [seq for seq, stream in self.sent.items() if stream == shard_id]
        some = data.draw(st.integers(1, len(seqs)))
        for seq in seqs[:some]:
            del self.sent[seq]
        return shard_id, seqs[:some]

    @rule(data=st.data())
    def some_are_final(self, data: st.DataObject) -> None:
        if found := self.of_one_stream(data):
            for seq in found[1]:
                self.waiting.end(found[0])
                del self.inside[seq]

    @rule(data=st.data())
    def some_are_given_back(self, data: st.DataObject) -> None:
        if found := self.of_one_stream(data):
            self.waiting.give_back(*found)

    @rule(data=st.data(), seconds=st.floats(0.1, 9.0), is_stuck=st.booleans())
    def some_are_postponed(self, data: st.DataObject, seconds: float, is_stuck: bool) -> None:  # noqa: FBT001
        if found := self.of_one_stream(data):
            until_s = self.now_s + seconds
            later = self.waiting.hold if is_stuck else self.waiting.delay
            later(*found, until_s)
            if not is_stuck:
                self.not_before |= dict.fromkeys(found[1], until_s)

    @invariant()
    def it_counts_them(self) -> None:
        assert self.waiting.count == len(self.inside)

    @override
    def teardown(self) -> None:
        """Whatever happened, everything comes out in the end."""
        if not hasattr(self, "waiting"):
            return
        for shard_id in self.sent.values():
            self.waiting.end(shard_id)
        left = set(self.inside) - set(self.sent)
        self.waiting.wake(math.inf)
        while taken := self.waiting.take(100):
            for shard_id, seq in taken:
                left.remove(seq)
                self.waiting.end(shard_id)
        assert not left
        assert self.waiting.count == 0
        assert self.waiting._streams == {}


TestMachine = Machine.TestCase
