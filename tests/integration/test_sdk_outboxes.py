"""Outboxes on disk are one format: what an SDK wrote any other opens, torn or whole."""

import base64
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from tests.support.sdk_drivers import SDKS, Driver, require
from tests.support.signed import body

WRITERS = [name for name in SDKS if name != "wasm"]
PAIRS = list(permutations(WRITERS, 2))
WINDOWS = 12
CUT_BYTES = 3


def appended(driver: Driver, first: int, count: int = WINDOWS) -> list[int]:
    bodies = [base64.b64encode(body(epoch)).decode() for epoch in range(first, first + count)]
    seqs: list[int] = driver.ask("outbox.append", source="x", bodies=bodies)["seqs"]
    assert len(seqs) == count
    return seqs


def pending(driver: Driver) -> dict[int, bytes]:
    windows: list[dict[str, Any]] = driver.ask("outbox.pending")["windows"]
    return {each["seq"]: base64.b64decode(each["body"]) for each in windows}


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
        seqs = appended(first, 0)
        for seq in seqs[:3]:
            first.ask("outbox.acknowledge", seq=seq, status=200, replayed=False)
        first.ask("outbox.close")
    with Driver(reader) as second:
        assert second.open_outbox(kept) == WINDOWS - 3
        assert pending(second) == {seq: body(at) for at, seq in enumerate(seqs) if at >= 3}
        second.ask("outbox.acknowledge", seq=seqs[3], status=422, replayed=True)
        more = appended(second, WINDOWS)
        assert not set(more) & set(seqs)
        second.ask("outbox.close")
    with Driver(writer) as third:
        assert third.open_outbox(kept) == 2 * WINDOWS - 4
        assert list(pending(third)) == [*seqs[4:], *more]
        third.ask("outbox.close")


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_what_one_was_killed_over_another_recovers(
    writer: str, reader: str, tmp_path: Path
) -> None:
    require(writer, reader)
    data = tmp_path / "data"
    first = Driver(writer)
    first.open_outbox(data)
    seqs = appended(first, 0)
    appended(first, WINDOWS, count=1)
    first.kill()
    tear(data, body(WINDOWS))
    second = Driver(reader)
    # The last window stands alone in its batch: no more than it is torn.
    assert second.open_outbox(data) == WINDOWS
    assert pending(second) == {seq: body(at) for at, seq in enumerate(seqs)}
    (again,) = appended(second, WINDOWS, count=1)
    assert again > seqs[-1]
    second.kill()
    with Driver(writer) as third:
        assert third.open_outbox(data) == WINDOWS + 1
        assert list(pending(third)) == [*seqs, again]
        third.ask("outbox.close")


@pytest.mark.parametrize(("holder", "other"), PAIRS)
def test_an_outbox_that_is_open_is_locked_for_every_other(
    holder: str, other: str, tmp_path: Path
) -> None:
    require(holder, other)
    kept = tmp_path / "data"
    with Driver(holder) as first, Driver(other) as second:
        assert first.open_outbox(kept) == 0
        assert second.open_outbox(kept) == "locked"
        first.ask("outbox.close")
        assert second.open_outbox(kept) == 0
        second.ask("outbox.close")
