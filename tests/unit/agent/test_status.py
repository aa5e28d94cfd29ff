"""What can be read of a data folder, whole and damaged."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_world import MemoryServer, csv_stream, plan, run, waiting, world
from tests.support.outboxes import accept, make_small, observe, opened
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent.deadletters import FILE
from fractal_lba.agent.opening import FOLDER, STREAM
from fractal_lba.agent.status import Status, read_status
from fractal_lba.agent.tally import Exit, Tally
from fractal_lba.protocol import ContractError, CorruptionError, DurabilityError
from fractal_lba.wal import File, NewFrame, RealDisk, Stream

WINDOWS = 5


@pytest.fixture
def data(tmp_path: Path) -> Path:
    ship(tmp_path)
    return tmp_path / "d"


def ship(folder: Path, server: MemoryServer | None = None) -> Tally:
    server = server or MemoryServer(status=lambda record: 422 if record["epoch"] == 1 else 200)
    stream = csv_stream(folder / "x.csv", 3 * WINDOWS)
    return run_virtual(run(plan(folder / "d", stream), world(server)))


def status(data: Path) -> Status:
    return read_status(RealDisk(), data, has_ids=True)


def window_segment(data: Path) -> Path:
    """Return the segment that holds the windows; behind it stands an empty one."""
    return max((data / FOLDER).glob("*.seg"), key=lambda path: path.stat().st_size)


def flip(path: Path, needle: bytes) -> None:
    """Flip a bit inside the first of these bytes."""
    held = bytearray(path.read_bytes())
    held[held.index(needle)] ^= 1
    path.write_bytes(held)


def test_a_whole_folder_is_counted(data: Path) -> None:
    found = status(data)
    assert not found.is_damaged
    members: dict[str, Any] = found.members()
    assert (members["windows"], members["acknowledged"], members["dead"]) == (5, 4, 1)
    assert (members["pending"], members["dead_letters"]) == (0, 1)
    assert (members["pending_bytes"], members["oldest_pending_at"]) == (0, None)
    assert members["outbox_bytes"] > 5 * 500
    assert [each["state"] for each in members["ids"]] == [
        "acknowledged", "dead", "acknowledged", "acknowledged", "acknowledged",
    ]  # fmt: skip
    lines = list(found.lines())
    assert "windows                 5" in lines
    assert any(
        line.startswith("stream s  next epoch 5  15 units read  csv+file:") for line in lines
    )


def test_what_waits_is_told_with_its_bytes_and_since_when(tmp_path: Path) -> None:
    found = status(waiting(tmp_path, 3))
    members: dict[str, Any] = found.members()
    assert members["pending"] == 3
    assert 3 * 500 < members["pending_bytes"] <= members["outbox_bytes"]
    assert members["oldest_pending_at"] == "2026-01-01T00:00:00.000Z"
    assert "oldest pending at       2026-01-01T00:00:00.000Z" in list(found.lines())


def test_windows_that_were_carried_over_are_listed_under_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)

    async def main() -> None:
        async with opened(tmp_path / "d") as outbox:
            for number in range(40):
                seq = await observe(outbox)
                if number != 2:
                    await accept(outbox, seq)
            await outbox.compact()

    run_virtual(main())
    found = status(tmp_path / "d")
    assert found.ids is not None
    assert [window.epoch for window in found.ids.values() if window.state == "pending"] == [2]
    assert len(found.ids) < 40
    members: dict[str, Any] = found.members()
    assert (members["windows"], members["acknowledged"], members["pending"]) == (40, 39, 1)
    assert members["compactions"] == 1


def test_a_folder_without_an_outbox_is_no_agents(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="expected a data folder of fractal-agent"):
        status(tmp_path)


def test_reading_changes_nothing(data: Path) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    status(data)
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def test_a_damaged_window_is_told_and_the_rest_is_read(data: Path) -> None:
    flip(window_segment(data), b'"epoch":2')
    found = status(data)
    assert found.is_damaged
    assert found.contents.lost == 1
    assert found.ids is not None
    assert {window.epoch for window in found.ids.values()} == {0, 1, 3, 4}
    assert any(line.startswith("damage: ") for line in found.lines())


def test_an_agent_on_a_damaged_outbox_goes_on_and_says_so(data: Path, tmp_path: Path) -> None:
    flip(window_segment(data), b'"epoch":4')  # the last window: its position is lost with it
    server = MemoryServer()
    tally = ship(tmp_path, server)
    assert tally.exit is Exit.UNWRITABLE
    assert tally.unreadable == 1
    # Cut again from where the source is known to be, under the same epoch.
    assert [record["epoch"] for record in server.sent] == [4]


def test_a_damaged_dead_letter_is_told(data: Path) -> None:
    (data / FILE).write_bytes(b"{}\n")
    found = status(data)
    assert found.is_damaged
    assert (found.dead_letters, found.unreadable_letters) == (0, 1)


@pytest.mark.parametrize(
    "frame",
    [
        NewFrame(received_ns=0, meta=b"{}", payload=b""),
    ],
)
def test_a_stream_of_something_else_is_corruption(tmp_path: Path, frame: NewFrame) -> None:
    stream = Stream.open(RealDisk(), tmp_path / FOLDER, STREAM)
    stream.append([frame])
    stream.close()
    with pytest.raises(CorruptionError, match="outbox frame 1: expected"):
        status(tmp_path)


@pytest.mark.parametrize("payload", [b"not json", b"{}", b"[]", b'{"pcs_id":7}', b"\xff"])
def test_a_window_that_is_no_record_is_listed_without_an_id(tmp_path: Path, payload: bytes) -> None:
    meta = b'{"kind":"window","source":"x","shard_id":"s","next_epoch":1,"position":null,"v":1}'
    stream = Stream.open(RealDisk(), tmp_path / FOLDER, STREAM)
    stream.append([NewFrame(received_ns=0, meta=meta, payload=payload)])
    stream.close()
    found = status(tmp_path)
    assert found.ids is not None
    assert [(each.pcs_id, each.state) for each in found.ids.values()] == [(None, "pending")]
    assert "no-record pending" in list(found.lines())


def test_what_was_set_aside_is_counted(data: Path) -> None:
    before = status(data).members()["evidence_bytes"]
    (data / FOLDER / "0000000001-x.seg.cut").write_bytes(bytes(100))
    (data / FOLDER / "0000000001-x.seg.bad").write_bytes(bytes(20))
    (data / "dead-letters.ndjson.cut").write_bytes(bytes(3))
    assert (before, status(data).members()["evidence_bytes"]) == (0, 123)


def test_a_file_that_an_agent_moves_away_meanwhile_is_looked_for_again(data: Path) -> None:
    class Moving(RealDisk):
        left = 2

        @override
        def open(self, path: Path, *, is_writable: bool = False) -> File:
            if path.suffix == ".seg" and self.left:
                self.left -= 1
                raise FileNotFoundError(2, "No such file or directory", str(path))
            return super().open(path, is_writable=is_writable)

    assert read_status(Moving(), data, has_ids=False).contents.windows == WINDOWS


def test_a_file_that_stays_away_is_told(data: Path) -> None:
    class Gone(RealDisk):
        @override
        def open(self, path: Path, *, is_writable: bool = False) -> File:
            raise FileNotFoundError(2, "No such file or directory", str(path))

    with pytest.raises(DurabilityError, match="No such file"):
        read_status(Gone(), data, has_ids=False)
