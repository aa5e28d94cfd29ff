"""What the outboxes of several SDKs, one after the other over one folder, may hold, and must.

A window that was acknowledged to its caller waits under its number until its answer is durable. One
whose append was never answered, or failed, may be there or not; the next opening settles it. No
number is given twice, and no window stands under two of them.
"""

from collections.abc import Iterable, Mapping


class Truth:
    """What was said of one folder.

    Attributes:
        waiting: Number → body of every window that must wait.
        given: Number → body of every window that was ever seen or acknowledged.
    """

    def __init__(self) -> None:
        self.waiting: dict[int, bytes] = {}
        self.given: dict[int, bytes] = {}
        self._in_doubt: set[bytes] = set()
        self._settled: set[bytes] = set()
        self._over: dict[int, bytes] = {}

    @property
    def numbers(self) -> list[int]:
        """The numbers of the windows that must wait and have no answer yet."""
        return sorted(self.waiting)

    def asked(self, bodies: Iterable[bytes]) -> None:
        """Note windows that are on their way to the disk."""
        self._in_doubt.update(bodies)

    def appended(self, seqs: Iterable[int], bodies: Iterable[bytes]) -> None:
        """Note windows that are durable, as was said."""
        for seq, body in zip(seqs, bodies, strict=True):
            self._give(seq, body)
            self._in_doubt.discard(body)
            self.waiting[seq] = body

    def answered(self, seq: int) -> None:
        """Note the final answer to a window: it may wait again after a crash."""
        if seq in self.waiting:
            self._over[seq] = self.waiting.pop(seq)

    def closed(self) -> None:
        """Note that every answer is durable, as closing said."""
        self._over.clear()

    def hold(self, found: Mapping[int, bytes], what: str) -> None:
        """Hold what an opening found to all that was said; what was in doubt is settled by it.

        Raises:
            AssertionError: A window is missing, is there twice or is back, or a number is.
        """
        missing = self.waiting.keys() - found.keys()
        assert not missing, f"{what}: windows {sorted(missing)} are gone"
        for seq, body in found.items():
            if seq in self.waiting or seq in self._over:
                assert self.given[seq] == body, f"{what}: window {seq} is another one"
            else:
                assert seq not in self.given, f"{what}: window {seq} waits again"
                assert body in self._in_doubt, f"{what}: window {seq} came from nowhere"
                self._give(seq, body)
                self._in_doubt.remove(body)
        # What is not there now will not come back.
        self._settled |= self._in_doubt
        self._in_doubt.clear()
        self.waiting = dict(found)
        self._over.clear()

    def _give(self, seq: int, body: bytes) -> None:
        assert seq not in self.given, f"number {seq} is given twice"
        assert seq > max(self.given, default=0), f"number {seq} comes behind a later one"
        assert body not in self._settled, f"window {seq} comes late"
        self.given[seq] = body
        self._settled.add(body)  # from now on it may come under no other number
