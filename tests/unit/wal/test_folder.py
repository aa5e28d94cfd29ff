from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.failing_disk import Crash, FailingDisk
from tests.support.wal_streams import NAME, new_frame, open_stream, restore, segments_of, snapshot

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.wal import Damage, RealDisk
from fractal_lba.wal.folder import io_errors, make_folder, read_folder
from fractal_lba.wal.framing import pack_batch


def names_at_risk(disk: FailingDisk, path: Path, top: Path) -> set[str]:
    """Return which of the folders between ``top`` and ``path`` a power loss could take away."""
    risk: set[str] = set()
    for folder in (path, *path.parents):
        if folder == top:
            return risk
        made = [call.name for call in disk.calls if call.path == folder.name].count("mkdir")
        if made:
            first = next(
                index
                for index, call in enumerate(disk.calls)
                if (call.name, call.path) == ("mkdir", folder.name)
            )
            synced = [
                index
                for index, call in enumerate(disk.calls)
                if (call.name, call.path) == ("sync_dir", folder.parent.name)
            ]
            if not synced or synced[-1] < first:
                risk.add(folder.name)
    raise AssertionError(f"{path} does not lie in {top}")


def test_a_folder_is_made_with_those_above_it_and_all_names_are_durable(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    path = tmp_path / "a" / "b" / "c"
    make_folder(disk, path)
    assert path.is_dir()
    assert names_at_risk(disk, path, tmp_path) == set()


def test_a_folder_half_made_before_a_crash_is_made_durable_afterwards(tmp_path: Path) -> None:
    total = 0
    for n in range(1, 40):
        path = tmp_path / f"top-{n}" / "a" / "b" / "c"
        path.parents[2].mkdir()
        disk = FailingDisk(RealDisk(), fail_at=n, error=None)
        with suppress(Crash):
            make_folder(disk, path)
        total += disk.has_failed
        disk.abandon()
        disk.heal()
        # The call that crashed was not made.
        disk.calls[n - 1 :] = []
        make_folder(disk, path)
        assert names_at_risk(disk, path, path.parents[2]) == set(), n
    assert total >= 10


def test_names_that_are_no_segments_are_left_alone(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    stream.append([new_frame("one")])
    stream.close()
    strangers = {
        "notes.txt": b"kept",
        "0000000009-short.seg": b"kept",
        f"000000009-{'0' * 32}.seg": b"kept",
        f"0000000009-{'0' * 32}.seg.cut": b"kept",
    }
    for name, data in strangers.items():
        (tmp_path / "s" / name).write_bytes(data)
    stream = open_stream(tmp_path / "s")
    assert stream.next_seq == 2
    assert stream.recovery.damage == ()
    stream.close()
    assert snapshot(tmp_path / "s").items() >= strangers.items()


def test_a_file_under_another_name_is_not_taken_by_its_word(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    stream.append([new_frame("one")])
    stream.close()
    files = snapshot(tmp_path / "s")
    first, last = segments_of(files)
    renamed = first.replace("0000000001", "0000000005")
    restore(tmp_path / "s", {last: files[last], renamed: files[first]})
    found = read_folder(RealDisk(), tmp_path / "s", NAME)
    assert [segment.header is None for segment in found.segments] == [False, True]


def test_a_segment_without_a_frame_stays_while_something_in_it_is_damaged(tmp_path: Path) -> None:
    open_stream(tmp_path / "s").close()
    ((name, header),) = snapshot(tmp_path / "s").items()
    key = read_folder(RealDisk(), tmp_path / "s", NAME).segments[0].key
    mark, _ = pack_batch(key, [], first_seq=1, durable_offset=len(header) + 40)
    damaged = header + bytes(40) + mark
    restore(tmp_path / "s", {name: damaged})
    for _ in range(3):
        stream = open_stream(tmp_path / "s")
        (seen,) = [item for item in stream.scan() if isinstance(item, Damage)]
        assert (seen.segment, seen.offset, seen.length) == (name, 232, 40)
        stream.close()
        assert snapshot(tmp_path / "s")[name] == damaged[:-32]
        assert stream.next_seq == 1


def test_an_error_says_where_and_what_and_no_more() -> None:
    def fail(error: OSError) -> None:
        with io_errors("here"):
            raise error

    with pytest.raises(DurabilityError, match=r"^here: expected a working disk, got Input/output"):
        fail(OSError(5, "Input/output error", "a path"))
    with pytest.raises(DurabilityError, match=r"^here: expected a working disk, got OSError$"):
        fail(OSError())


def test_a_symbolic_link_in_a_segments_place_is_refused_in_words(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "segment", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"of somebody else")
    path.symlink_to(elsewhere)
    for is_writable in (False, True):
        with (
            pytest.raises(
                DurabilityError, match=r"^here: expected its own files, got a symbolic l"
            ),
            io_errors("here"),
        ):
            RealDisk().open(path, is_writable=is_writable)
