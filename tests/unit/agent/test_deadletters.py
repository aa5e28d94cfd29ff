"""The dead letters: whole lines, one for each record, whatever happened to the file."""

import errno
import json
from collections.abc import Collection
from pathlib import Path

import pytest
from tests.support.agent_world import RECIPE
from tests.support.failing_disk import FailingDisk

from fractal_lba.agent.deadletters import (
    ANSWER_CHARACTERS_MAX,
    FILE,
    LINE_BYTES_MAX,
    DeadLetter,
    DeadLetters,
    Mended,
    dead_letter,
    read_dead_letters,
)
from fractal_lba.agent.record import make_record
from fractal_lba.agent.window import Window
from fractal_lba.client import Answer
from fractal_lba.protocol import (
    ContractError,
    DurabilityError,
    FencedError,
    Record,
    stored_bytes,
)
from fractal_lba.wal import RealDisk

AT = "2026-01-01T00:00:00.000Z"


def record(epoch: int) -> Record:
    window = Window(data=b"abc", after=None)
    return make_record(window, RECIPE, epoch=epoch, shard_id="s", created_at=AT)


def letter(epoch: int, body: bytes = b'{"code":"x"}') -> DeadLetter:
    answer = Answer(status=422, body=body, code="x")
    return dead_letter(record(epoch), answer, outbox_seq=epoch + 1, at=AT)


def write(data: Path, *letters: DeadLetter, pending: Collection[int] = ()) -> Mended:
    file = DeadLetters.open(RealDisk(), data, pending=pending)
    for each in letters:
        file.append(each)
    file.close()
    return file.mended


def epochs(data: Path) -> list[int | None]:
    return [None if each is None else each.epoch for each in read_dead_letters(RealDisk(), data)]


def test_a_line_says_what_was_answered_to_which_record(tmp_path: Path) -> None:
    write(tmp_path, letter(4))
    (line,) = (tmp_path / FILE).read_bytes().splitlines()
    assert json.loads(line) == {
        "v": 1,
        "outbox_seq": 5,
        "pcs_id": record(4).pcs_id,
        "epoch": 4,
        "shard_id": "s",
        "status": 422,
        "code": "x",
        "answer": '{"code":"x"}',
        "record": json.loads(stored_bytes(record(4))),
        "at": AT,
    }
    assert stored_bytes(record(4)) in line  # the very bytes, so that the signature still verifies


def test_a_later_run_adds_lines_and_counts_them_all(tmp_path: Path) -> None:
    write(tmp_path, letter(0), letter(1))
    write(tmp_path, letter(2))
    assert epochs(tmp_path) == [0, 1, 2]
    file = DeadLetters.open(RealDisk(), tmp_path, pending=())
    file.append(letter(3), letter(4))
    file.close()
    assert file.count == 5


def test_no_file_means_no_dead_letters(tmp_path: Path) -> None:
    write(tmp_path)
    assert not (tmp_path / FILE).exists()
    assert epochs(tmp_path) == []


def test_a_last_line_torn_at_any_byte_is_no_line_and_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, letter(0), letter(1))
    path = tmp_path / FILE
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first + 1, len(whole) - 2, 7):
        path.write_bytes(whole[:cut])
        assert epochs(tmp_path) == [0]
        assert write(tmp_path, letter(2), pending={2}) == Mended(first, 1, cut=cut - first)
        assert epochs(tmp_path) == [0, 2]


def test_a_torn_line_longer_than_the_next_one_leaves_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path, letter(0))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b"x" * 10_000)
    write(tmp_path, letter(1), pending={2})
    assert epochs(tmp_path) == [0, 1]


def test_a_file_of_one_torn_line_starts_again(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"v":1,')
    write(tmp_path, letter(1), pending={2})
    assert epochs(tmp_path) == [1]


@pytest.mark.parametrize("end", [b"", b"\x0b", b"\0", b"\xff"])
def test_the_last_letter_gets_a_lost_line_end_back(tmp_path: Path, end: bytes) -> None:
    write(tmp_path, letter(0), letter(1))
    path = tmp_path / FILE
    before = path.read_bytes()
    path.write_bytes(before[:-1] + end)
    assert epochs(tmp_path) == [0, 1]
    assert write(tmp_path) == Mended(len(before), 2)
    assert path.read_bytes() == before


@pytest.mark.parametrize("is_ended", [True, False])
@pytest.mark.parametrize("pending", [set(), {1, 9}])
def test_a_damaged_last_letter_whose_window_waits_no_more_is_kept_and_counted(
    tmp_path: Path,
    pending: set[int],
    is_ended: bool,  # noqa: FBT001 - pytest passes by name
) -> None:
    write(tmp_path, letter(0), letter(1))
    path = tmp_path / FILE
    lines = path.read_bytes().splitlines()
    bent = lines[1].replace(b'"status":422', b'"status":4\x002')
    path.write_bytes(lines[0] + b"\n" + bent + b"\n" * is_ended)
    for _ in range(2):
        mended = write(tmp_path, pending=pending)
        assert (mended.lines, mended.damaged, mended.cut) == (2, 1, 0)
    write(tmp_path, letter(2), pending=pending)
    assert epochs(tmp_path) == [0, None, 2]
    assert bent in path.read_bytes()


def test_lines_that_cannot_be_read_are_counted_wherever_they_stay(tmp_path: Path) -> None:
    write(tmp_path, *map(letter, range(5)))
    path = tmp_path / FILE
    lines = path.read_bytes().splitlines(keepends=True)
    bent = {at: b"?" + lines[at] for at in (1, 3, 4)}
    path.write_bytes(b"".join(bent.get(at, line) for at, line in enumerate(lines)))
    mended = write(tmp_path)
    assert (mended.lines, mended.unreadable, mended.damaged, mended.cut) == (5, 3, 2, 0)
    write(tmp_path, letter(5))
    mended = write(tmp_path)
    assert (mended.lines, mended.unreadable, mended.damaged, mended.cut) == (6, 3, 0, 0)


def test_what_was_cut_before_stays_beside_what_is_cut_now(tmp_path: Path) -> None:
    for torn in (b"first", b"second"):
        (tmp_path / FILE).write_bytes(torn)
        write(tmp_path, pending={1})
    assert (tmp_path / "dead-letters.ndjson.cut").read_bytes() == b"firstsecond"


def test_a_damaged_line_in_the_middle_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    write(tmp_path, letter(0), letter(1), letter(2))
    path = tmp_path / FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + bytes(len(lines[1]) - 1) + b"\n" + lines[2])
    assert epochs(tmp_path) == [0, None, 2]


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"v":2}\n')
    with pytest.raises(ContractError, match="expected format 1, got 2"):
        epochs(tmp_path)


def test_a_file_that_is_something_else_is_damage_where_no_window_waits(tmp_path: Path) -> None:
    data = b"x" * (2 * LINE_BYTES_MAX + 1)
    (tmp_path / FILE).write_bytes(data)
    assert write(tmp_path, letter(1)).damaged == 1
    assert epochs(tmp_path) == [None, 1]
    assert (tmp_path / FILE).read_bytes().startswith(data + b"\n")


def test_lines_that_a_power_cut_tore_at_the_end_are_kept_beside_and_are_no_damage(
    tmp_path: Path,
) -> None:
    write(tmp_path, letter(0), letter(1), letter(2))
    path = tmp_path / FILE
    lines = path.read_bytes().splitlines(keepends=True)
    for torn in (
        bytes(len(lines[1])) + lines[2],  # the end came through, the beginning did not
        bytes(600) + lines[1][600:] + b"\0" * len(lines[2]),
        b"\0" * (3 * LINE_BYTES_MAX),
    ):
        path.write_bytes(lines[0] + torn)
        write(tmp_path, letter(3), pending={2, 3})
        assert epochs(tmp_path) == [0, 3]
        assert (tmp_path / "dead-letters.ndjson.cut").read_bytes().endswith(torn)


def test_a_newer_line_keeps_the_file_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, letter(0))
    path = tmp_path / FILE
    before = path.read_bytes() + b'{"v":2}\n{torn'
    path.write_bytes(before)
    with pytest.raises(ContractError, match="expected format 1, got 2"):
        DeadLetters.open(RealDisk(), tmp_path, pending=())
    assert path.read_bytes() == before


def test_lines_are_read_across_blocks(tmp_path: Path) -> None:
    body = b"\x01" * (ANSWER_CHARACTERS_MAX + 5)  # escaped, each takes six bytes
    write(tmp_path, *(letter(epoch, body) for epoch in range(7)))
    assert (tmp_path / FILE).stat().st_size > 2 * LINE_BYTES_MAX
    assert epochs(tmp_path) == list(range(7))
    write(tmp_path, letter(7))
    assert epochs(tmp_path) == list(range(8))


def test_an_answer_is_kept_as_text_up_to_a_bound(tmp_path: Path) -> None:
    write(tmp_path, letter(0, b"\xff<html>"), letter(1, b"y" * (2 * ANSWER_CHARACTERS_MAX)))
    answers = [each.answer for each in read_dead_letters(RealDisk(), tmp_path) if each]
    assert answers == ["\ufffd<html>", "y" * ANSWER_CHARACTERS_MAX]


@pytest.mark.parametrize("call", ["create", "sync_dir", "write_at", "datasync"])
def test_after_a_failed_write_no_further_line_is_written(tmp_path: Path, call: str) -> None:
    probe = FailingDisk(RealDisk())
    file = DeadLetters.open(probe, tmp_path, pending=())
    file.append(letter(0))
    (tmp_path / FILE).unlink()
    at = 1 + [each.name for each in probe.calls].index(call)
    disk = FailingDisk(RealDisk(), fail_at=at, error=errno.ENOSPC)
    file = DeadLetters.open(disk, tmp_path, pending=())
    with pytest.raises(DurabilityError, match="No space left"):
        file.append(letter(1))
    with pytest.raises(FencedError):
        file.append(letter(2))


def test_what_a_process_before_may_not_have_synced_is_written_and_synced_again(
    tmp_path: Path,
) -> None:
    write(tmp_path, letter(0), letter(1))
    before = (tmp_path / FILE).read_bytes()
    disk = FailingDisk(RealDisk())
    DeadLetters.open(disk, tmp_path, pending=()).close()
    assert [call.name for call in disk.calls] == [
        "names", "open", "read_at", "read_at", "size", "read_at", "write_at", "datasync", "close",
    ]  # fmt: skip
    assert (tmp_path / FILE).read_bytes() == before
