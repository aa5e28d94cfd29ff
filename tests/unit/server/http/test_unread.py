from fractal_lba.server.http.unread import Unread


class Reader:
    """A slow reader, by name."""

    def __init__(self, unread: Unread, address: str) -> None:
        self._unread = unread
        self.address = address
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True
        self._unread.leave(self, self.address)


def test_the_address_that_holds_most_loses_what_waited_longest() -> None:
    unread = Unread(100, told=lambda: None)
    readers = [Reader(unread, address) for address in ("a", "b", "b", "b")]
    for reader, size in zip(readers, (40, 10, 20, 30), strict=True):
        unread.enter(reader, reader.address, size)
    late = Reader(unread, "c")
    unread.enter(late, "c", 15)
    assert [reader.is_cut for reader in readers] == [False, True, True, False]
    assert not late.is_cut
    assert unread.total == 85


def test_one_answer_over_the_bound_is_cut_itself() -> None:
    unread = Unread(100, told=lambda: None)
    reader = Reader(unread, "a")
    unread.enter(reader, "a", 101)
    assert reader.is_cut
    assert (unread.total, dict(unread.by_address)) == (0, {})


def test_what_was_read_is_counted_no_longer_and_may_leave_twice() -> None:
    unread = Unread(100, told=lambda: None)
    reader = Reader(unread, "a")
    for _ in range(5):
        unread.enter(reader, "a", 90)
        unread.leave(reader, "a")
        unread.leave(reader, "a")
    assert (unread.total, dict(unread.by_address)) == (0, {})
    assert not reader.is_cut
