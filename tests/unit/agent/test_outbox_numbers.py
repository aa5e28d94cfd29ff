"""A window's number is given once, whatever happens to the files."""

import contextlib
from pathlib import Path

import pytest
from tests.support.failing_disk import Crash, Effect, FailingDisk
from tests.support.outboxes import accept, contents_of, observe, opened
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.deadletters import FILE, read_dead_letters
from fractal_lba.agent.opening import FOLDER
from fractal_lba.wal import RealDisk
from fractal_lba.wal.framing import FRAME_BYTES
from fractal_lba.wal.inspection import verify_folder


async def numbers(data: Path, count: int) -> list[int]:
    """Append so many windows in a run of their own and return their numbers."""
    async with opened(data, disk=FailingDisk(RealDisk())) as outbox:
        return [await observe(outbox) for _ in range(count)]


async def killed(data: Path, count: int) -> list[int]:
    """Append so many windows and end as a kill would, nothing marked."""
    disk = FailingDisk(RealDisk())
    found = []
    with contextlib.suppress(Crash):
        async with opened(data, disk=disk) as outbox:
            found = [await observe(outbox) for _ in range(count)]
            disk.fail_next(1, error=None, effect=Effect.NONE)
    assert disk.has_failed
    disk.abandon()
    return found


def last_segment(data: Path) -> Path:
    return max((data / FOLDER).glob("*.seg"))


def test_an_emptied_outbox_goes_on_with_the_next_number(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as outbox:
            for _ in range(3):
                await accept(outbox, await observe(outbox))
        assert (await numbers(tmp_path, 1))[0] > 3

    run_virtual(main())


def test_a_number_seen_before_its_batch_was_damaged_is_not_given_again(tmp_path: Path) -> None:
    async def main() -> None:
        before = await killed(tmp_path, 3)
        assert before == [1, 2, 3]
        # Each window was a batch; the third one was synced and is not marked as durable yet.
        segment = last_segment(tmp_path)
        data = bytearray(segment.read_bytes())
        data[data.index(b'"epoch":2')] ^= 1
        segment.write_bytes(data)
        after = await numbers(tmp_path, 2)
        assert min(after) > 3

    run_virtual(main())
    contents = contents_of(tmp_path)
    assert (contents.lost, contents.damage) == (0, [])
    # The window itself is cut again from where its source is known to be.
    assert contents.next_epoch("s", is_live=False) == 4


def test_an_outbox_that_passed_over_numbers_is_sound(tmp_path: Path) -> None:
    assert run_virtual(killed(tmp_path, 3)) == [1, 2, 3]
    with last_segment(tmp_path).open("ab") as file:
        file.write(b"\xa5" * 900)
    for _ in range(3):
        run_virtual(numbers(tmp_path, 1))
        found = verify_folder(RealDisk(), tmp_path / FOLDER)
        assert (found.damage, found.unfinished) == ((), ())
    assert contents_of(tmp_path).next_seq > 3 + 900 // FRAME_BYTES


def test_a_number_in_the_dead_letters_is_not_given_again(tmp_path: Path) -> None:
    tmp_path.joinpath(FILE).write_text(
        '{"outbox_seq":41,"pcs_id":"","epoch":0,"shard_id":"s","status":409,"code":null,'
        '"answer":"","record":{},"at":"","v":1}\nno line\n',
        encoding="utf-8",
    )
    assert run_virtual(numbers(tmp_path, 1)) == [42]
    contents = contents_of(tmp_path)
    assert (contents.lost, contents.damage, contents.next_seq) == (0, [], 43)
    assert run_virtual(numbers(tmp_path, 1)) == [43]


@pytest.mark.parametrize(
    "number",
    [-1, 0, 1 << 45, (1 << 53) - 1, (1 << 53) + 1, (1 << 64) - 1, 1 << 64, 10**30],
)
def test_a_number_that_was_never_given_takes_no_number_from_the_outbox(
    tmp_path: Path, number: int
) -> None:
    tmp_path.joinpath(FILE).write_text(
        f'{{"outbox_seq":{number},"pcs_id":"","epoch":0,"shard_id":"s","status":409,"code":null,'
        '"answer":"","record":{},"at":"","v":1}\n',
        encoding="utf-8",
    )

    async def main() -> None:
        async with opened(tmp_path) as outbox:
            assert await observe(outbox) == 1
            letters = list(read_dead_letters(RealDisk(), tmp_path))
            told = "".join(outbox.contents.damage)
            assert letters == [None] or f"got {number}" in told

    run_virtual(main())
    assert run_virtual(numbers(tmp_path, 1))[0] in range(2, 10)


@pytest.mark.parametrize("effect", Effect)
def test_a_crash_while_numbers_are_passed_over_loses_and_repeats_none(
    tmp_path: Path, effect: Effect
) -> None:
    letters = (
        '{"outbox_seq":41,"pcs_id":"","epoch":0,"shard_id":"s","status":409,"code":null,'
        '"answer":"","record":{},"at":"","v":1}\n'
    )
    call = 0
    while True:
        call += 1
        data = tmp_path / str(call)
        data.mkdir()
        data.joinpath(FILE).write_text(letters, encoding="utf-8")
        disk = FailingDisk(RealDisk(), fail_at=call, error=None, effect=effect)

        async def main(data: Path = data, disk: FailingDisk = disk) -> None:
            async with opened(data, disk=disk):
                pass

        try:
            run_virtual(main())
        except Crash:
            disk.abandon()
            assert run_virtual(numbers(data, 1))[0] > 41
            contents = contents_of(data)
            assert (contents.lost, contents.damage) == (0, [])
        else:
            assert not disk.has_failed
            assert call > 20
            return
