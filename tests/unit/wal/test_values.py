import pytest

from fractal_lba.wal import Damage, Placed, PlacedFrames, Position


@pytest.mark.parametrize(
    ("first_seq", "last_seq", "frames"),
    [
        (None, None, ""),
        (8, 9, "; frames 8 to 9 lost"),
        (8, None, "; frames 8 to ? lost"),
        (None, 9, "; frames ? to 9 lost"),
    ],
)
def test_damage_says_where_how_much_what_and_which_frames(
    first_seq: int | None, last_seq: int | None, frames: str
) -> None:
    damage = Damage("0000000001-ab.seg", 32, 7, first_seq, last_seq, "bytes do not verify")
    assert str(damage) == f"0000000001-ab.seg at 32, 7 bytes: bytes do not verify{frames}"


def test_frames_that_were_appended_together_say_where_each_went() -> None:
    placed = PlacedFrames(7, 3, [100, 140, 190])
    each = [Placed(7, Position(3, 100)), Placed(8, Position(3, 140)), Placed(9, Position(3, 190))]
    assert (len(placed), list(placed)) == (3, each)
    assert [placed[number] for number in (0, 1, 2, -1, -3)] == [*each, each[2], each[0]]
    for some in (slice(None), slice(1, None), slice(0, 2), slice(2, 9), slice(3, None)):
        assert list(placed[some]) == each[some]
    with pytest.raises(IndexError):
        placed[3]
