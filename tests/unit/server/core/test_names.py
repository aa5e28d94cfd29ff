import pytest

from fractal_lba.server.core.names import (
    inbox,
    inbox_number,
    is_inbox,
    is_judging,
    is_shard_name,
    judging,
)


@pytest.mark.parametrize("name", ["shard-0", "a", "0", "s" * 63])
def test_a_folder_name_can_be_a_shard(name: str) -> None:
    assert is_shard_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a/b", "..", "A", "s" * 64, inbox(0), "inbox-x", "a\n"])
def test_what_is_no_folder_or_an_inbox_cannot(name: str) -> None:
    assert not is_shard_name(name)


@pytest.mark.parametrize("worker", [0, 7, 999_999])
def test_an_inbox_and_its_note_are_known_by_their_names(worker: int) -> None:
    name = inbox(worker)
    assert (is_inbox(name), is_judging(name), inbox_number(name)) == (True, False, worker)
    assert (is_inbox(judging(name)), is_judging(judging(name))) == (False, True)


@pytest.mark.parametrize("name", ["inbox-", "inbox-01", "inbox-1000000", "shard-0", "inbox-0\n"])
def test_another_name_is_no_inbox(name: str) -> None:
    assert (is_inbox(name), inbox_number(name), is_judging(judging(name))) == (False, None, False)
