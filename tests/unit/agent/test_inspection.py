"""``fractal-agent outbox inspect``: what waits, window by window, beside a running agent."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.support.agent_world import START_NS
from tests.support.failing_disk import FailingDisk
from tests.support.outboxes import accept, make_small, observe, opened
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.cli import cli
from fractal_lba.agent.inspection import Filter, Inspection, inspect
from fractal_lba.agent.opening import FOLDER
from fractal_lba.agent.tally import Exit
from fractal_lba.protocol import ContractError
from fractal_lba.wal import RealDisk

NOW_MS = START_NS // 1_000_000 + 90_000


def seen(data: Path, **meant: Any) -> Inspection:  # noqa: ANN401 - members of a filter
    return inspect(RealDisk(), data, Filter(**meant), now_ms=NOW_MS)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["outbox", "inspect", *arguments])


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder in which of two streams every third window waits."""

    async def main() -> None:
        async with opened(tmp_path / "d") as outbox:
            for number in range(12):
                seq = await observe(outbox, "even" if number % 2 == 0 else "odd")
                if number % 3:
                    await accept(outbox, seq)

    run_virtual(main())
    return tmp_path / "d"


def test_each_pending_window_is_told_with_its_place_in_its_stream(data: Path) -> None:
    found = seen(data)
    assert [(each.shard_id, each.epoch) for each in found.windows] == [
        ("even", 0), ("odd", 1), ("even", 3), ("odd", 4),
    ]  # fmt: skip
    assert {each.age_s for each in found.windows} == {90.0}
    assert found.pending == found.fitting == 4
    assert found.pending_bytes == sum(each.size for each in found.windows) > 2_000
    numbers = [each.seq for each in found.windows]
    assert numbers == sorted(numbers)


def test_filters_choose_and_what_they_leave_is_counted(data: Path) -> None:
    found = seen(data, streams=frozenset({"odd"}))
    assert [each.epoch for each in found.windows] == [1, 4]
    assert (found.fitting, found.pending) == (2, 4)
    assert seen(data, older_than_s=91.0).fitting == 0
    assert seen(data, older_than_s=90.0).fitting == 4


def test_what_is_shown_is_bounded_and_the_rest_is_counted(data: Path) -> None:
    found = seen(data, shown_max=1)
    assert [(each.shard_id, each.epoch) for each in found.windows] == [("even", 0)]
    assert (found.fitting, found.members()["shown"]) == (4, 1)


def test_a_running_agent_is_left_alone_and_a_window_keeps_its_number_when_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)

    async def main() -> None:
        async with opened(tmp_path) as outbox:
            oldest = await observe(outbox, "waiting")
            for _ in range(30):
                await accept(outbox, await observe(outbox))
            await outbox.compact()
            assert outbox.contents.compactions == 1
            before = files(tmp_path)
            disk = FailingDisk(RealDisk())
            found = inspect(disk, tmp_path, Filter(), now_ms=NOW_MS)
            assert [(each.seq, each.epoch) for each in found.windows] == [(oldest, 0)]
            assert {call.name for call in disk.calls} <= {
                "names", "open", "read_at", "size", "close", "is_folder",
            }  # fmt: skip
            assert files(tmp_path) == before

    run_virtual(main())


def test_the_command_prints_a_table_and_one_object(data: Path) -> None:
    shown = command("--data", str(data))
    assert shown.exit_code == Exit.DONE
    assert "4 of 4 that fit" in shown.output
    assert shown.output.count("even") == shown.output.count("odd") == 2
    members = json.loads(command("--data", str(data), "--json", "--stream", "odd").output)
    assert members["fitting"] == members["shown"] == 2
    assert members["windows"][0] | {"outbox_seq": 0, "age_s": 0, "bytes": 0} == {
        "outbox_seq": 0, "shard_id": "odd", "epoch": 1, "received_at": "2026-01-01T00:00:00.000Z",
        "age_s": 0, "bytes": 0,
    }  # fmt: skip


def test_an_outbox_in_which_nothing_waits_is_shown_without_a_table(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path):
            pass

    run_virtual(main())
    shown = command("--data", str(tmp_path))
    assert (shown.exit_code, shown.output) == (
        Exit.DONE, "0 of 0 that fit (0 bytes); 0 wait in all (0 bytes)\n",
    )  # fmt: skip


def test_a_folder_of_something_else_and_a_damaged_one_are_told(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="expected a data folder of fractal-agent"):
        seen(tmp_path)
    assert command("--data", str(tmp_path)).exit_code == Exit.UNUSABLE
    segment = max((data / FOLDER).glob("*.seg"), key=lambda path: path.stat().st_size)
    held = bytearray(segment.read_bytes())
    held[held.index(b'"epoch":3')] ^= 1
    segment.write_bytes(held)
    shown = command("--data", str(data))
    assert shown.exit_code == Exit.UNWRITABLE
    assert "3 wait in all" in shown.output
