import pytest

from fractal_lba.wal import Damage


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
