import pytest

from fractal_lba.server.core.names import inbox, is_shard_name


@pytest.mark.parametrize("name", ["shard-0", "a", "0", "s" * 63])
def test_a_folder_name_can_be_a_shard(name: str) -> None:
    assert is_shard_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a/b", "..", "A", "s" * 64, inbox(0), "inbox-x", "a\n"])
def test_what_is_no_folder_or_an_inbox_cannot(name: str) -> None:
    assert not is_shard_name(name)
