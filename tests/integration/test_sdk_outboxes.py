"""Outboxes on disk are one format: what an SDK wrote any other opens, torn or whole."""

from itertools import permutations
from pathlib import Path

import pytest
from tests.support.sdk_drivers import CLIENTS, Driver, require
from tests.support.signed import body

PAIRS = list(permutations(CLIENTS, 2))
WINDOWS = 12
CUT_BYTES = 3


def bodies(first: int, count: int = WINDOWS) -> list[bytes]:
    return [body(epoch) for epoch in range(first, first + count)]


def tear(data: Path, last: bytes) -> None:
    """Take the last bytes of the last window from its segment, and what stands behind them.

    A mark may, that the window is durable: it came in a write of its own, or not before the kill.
    """
    path = max((data / "outbox").glob("*.seg"))
    written = path.read_bytes()
    path.write_bytes(written[: written.rindex(last) + len(last) - CUT_BYTES])


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_what_one_wrote_another_opens_acknowledges_and_goes_on(
    writer: str, reader: str, tmp_path: Path
) -> None:
    require(writer, reader)
    kept = tmp_path / "data"
    with Driver(writer) as first:
        assert first.open_outbox(kept) == 0
        seqs = first.append(*bodies(0))
        for seq in seqs[:3]:
            first.ask("outbox.acknowledge", seq=seq, status=200, replayed=False)
        first.close_outbox()
    with Driver(reader) as second:
        assert second.open_outbox(kept) == WINDOWS - 3
        assert second.pending() == {seq: body(at) for at, seq in enumerate(seqs) if at >= 3}
        second.ask("outbox.acknowledge", seq=seqs[3], status=422, replayed=True)
        more = second.append(*bodies(WINDOWS))
        assert not set(more) & set(seqs)
        second.close_outbox()
    with Driver(writer) as third:
        assert third.open_outbox(kept) == 2 * WINDOWS - 4
        assert list(third.pending()) == [*seqs[4:], *more]
        third.close_outbox()


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_what_one_was_killed_over_another_recovers(
    writer: str, reader: str, tmp_path: Path
) -> None:
    require(writer, reader)
    data = tmp_path / "data"
    first = Driver(writer)
    first.open_outbox(data)
    seqs = first.append(*bodies(0))
    first.append(body(WINDOWS))
    first.kill()
    tear(data, body(WINDOWS))
    second = Driver(reader)
    # The last window stands alone in its batch: no more than it is torn.
    assert second.open_outbox(data) == WINDOWS
    assert second.pending() == {seq: body(at) for at, seq in enumerate(seqs)}
    (again,) = second.append(body(WINDOWS))
    assert again > seqs[-1]
    second.kill()
    with Driver(writer) as third:
        assert third.open_outbox(data) == WINDOWS + 1
        assert list(third.pending()) == [*seqs, again]
        third.close_outbox()


@pytest.mark.parametrize(("holder", "other"), PAIRS)
def test_an_outbox_that_is_open_is_locked_for_every_other(
    holder: str, other: str, tmp_path: Path
) -> None:
    require(holder, other)
    kept = tmp_path / "data"
    with Driver(holder) as first, Driver(other) as second:
        assert first.open_outbox(kept) == 0
        assert second.open_outbox(kept) == "locked"
        first.close_outbox()
        assert second.open_outbox(kept) == 0
        second.close_outbox()


@pytest.mark.parametrize("name", CLIENTS)
def test_a_symbolic_link_in_a_files_place_is_refused_and_what_it_leads_to_stays(
    name: str, tmp_path: Path
) -> None:
    require(name)
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    with Driver(name) as driver:
        for _ in range(2):  # segments: the older one sealed
            driver.open_outbox(data)
            driver.append(body(0))
            driver.close_outbox()
        (data / "dead-letters.ndjson").write_bytes(b"")
        oldest, *_, last = sorted(data.glob("outbox/*.seg"))
        for path in (oldest, last, data / "outbox" / ".lock", data / "dead-letters.ndjson"):
            before = path.read_bytes()
            path.rename(elsewhere)
            path.symlink_to(elsewhere)
            assert driver.open_outbox(data) == "disk", path
            assert elsewhere.read_bytes() == before, path
            elsewhere.rename(path)
        assert driver.open_outbox(data) == 2
        driver.close_outbox()
