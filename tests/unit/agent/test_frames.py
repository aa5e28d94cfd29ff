"""What the outbox's frames add up to."""

import msgspec
import pytest

from fractal_lba.agent.contents import Contents
from fractal_lba.agent.frames import (
    AckMeta,
    WindowMeta,
    bare_frame,
    read_meta,
    window_frame,
)
from fractal_lba.agent.verdict import Fate
from fractal_lba.agent.window import SourcePosition
from fractal_lba.protocol import ContractError, CorruptionError
from fractal_lba.wal import Damage, Frame, NewFrame, Position

HERE = SourcePosition(offset=120, units=10, mark="ab")


def numbered(seq: int, new: NewFrame) -> tuple[Position, Frame]:
    frame = Frame(seq=seq, received_ns=new.received_ns, meta=new.meta, payload=new.payload)
    return Position(1, 100 * seq), frame


def window(
    seq: int, epoch: int, *, shard_id: str = "s", position: SourcePosition | None = HERE
) -> tuple[Position, Frame]:
    meta = WindowMeta(source="x", shard_id=shard_id, next_epoch=epoch + 1, position=position)
    return numbered(seq, window_frame(meta, b"{}", received_ns=7))


def ack(seq: int, of: int, status: int, *, replayed: bool = False) -> tuple[Position, Frame]:
    return numbered(
        seq, bare_frame(AckMeta(seq=of, status=status, replayed=replayed), received_ns=7)
    )


@pytest.mark.parametrize(
    "meta",
    [
        WindowMeta(source="csv+file:///x#columns=a", shard_id="s", next_epoch=1, position=HERE),
        WindowMeta(source="live:", shard_id="live:h", next_epoch=2**53 - 1, position=None),
        AckMeta(seq=3, status=409, replayed=True),
    ],
)
def test_a_meta_block_comes_back_as_it_was(meta: WindowMeta | AckMeta) -> None:
    new = (
        window_frame(meta, b"{}", received_ns=7)
        if isinstance(meta, WindowMeta)
        else bare_frame(meta, received_ns=7)
    )
    assert read_meta(numbered(1, new)[1]) == meta


def test_the_bytes_of_a_window_frame_are_the_documented_ones() -> None:
    assert window(1, 4)[1].meta == (
        b'{"kind":"window","source":"x","shard_id":"s","next_epoch":5,'
        b'"position":{"offset":120,"units":10,"mark":"ab"},"v":1}'
    )
    assert ack(1, 9, 202)[1].meta == b'{"kind":"ack","seq":9,"status":202,"replayed":false,"v":1}'


def test_a_newer_format_is_refused_with_the_program_that_reads_it() -> None:
    frame = Frame(seq=4, received_ns=0, meta=b'{"kind":"shrug","v":2}', payload=b"")
    with pytest.raises(ContractError, match="expected format 1, got 2: read it with the version"):
        read_meta(frame)


@pytest.mark.parametrize(
    "meta", [b"", b"{}", b"[]", b'{"kind":"ack"}', b'{"kind":"x","v":1}', b'{"v":1}', b"\xff"]
)
def test_what_is_no_frame_of_an_outbox_is_corruption(meta: bytes) -> None:
    with pytest.raises(CorruptionError, match="outbox frame 4"):
        read_meta(Frame(seq=4, received_ns=0, meta=meta, payload=b""))


def test_a_window_is_pending_until_its_acknowledgement() -> None:
    contents = Contents.read([window(1, 0), window(2, 1), ack(3, 1, 200), window(4, 2)])
    assert [contents.pending[seq].position for seq in contents.pending] == [
        Position(1, 200),
        Position(1, 400),
    ]
    assert contents.windows == 3
    assert contents.next_epoch("s", is_live=False) == 3
    assert contents.position("x", "s") == HERE
    assert contents.position("x", "other") is None


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (200, Fate.ACCEPTED),
        (202, Fate.ESCALATED),
        (409, Fate.DEAD),
        (422, Fate.DEAD),
        (401, Fate.DEAD),
    ],
)
def test_an_acknowledgement_counts_once_by_its_status(status: int, fate: Fate) -> None:
    items = [window(1, 0), ack(2, 1, status, replayed=True), ack(3, 1, status, replayed=True)]
    contents = Contents.read(items)
    assert contents.fates == {**dict.fromkeys(Fate, 0), fate: 1}
    assert contents.repeats == 1
    assert not contents.pending


def test_streams_have_their_own_epochs() -> None:
    contents = Contents.read([window(1, 0), window(2, 0, shard_id="t"), window(3, 1)])
    assert contents.next_epoch("s", is_live=False) == 2
    assert contents.next_epoch("t", is_live=False) == 1
    assert contents.next_epoch("new", is_live=False) == 0
    assert contents.lost == 0


def test_unreadable_frames_are_counted_by_their_missing_numbers() -> None:
    damage = Damage("a.seg", 200, 100, 2, 3, "frame does not verify")
    contents = Contents.read([window(1, 0), damage, window(4, 3), damage], next_seq=7)
    assert contents.lost == 4
    assert contents.damage == ["a.seg at byte 200: frame does not verify"] * 2


def test_what_was_never_durable_is_no_damage() -> None:
    torn = Damage("a.seg", 200, 100, None, None, "torn tail", is_loss=False)
    contents = Contents.read([window(1, 0), torn])
    assert contents.damage == []
    assert contents.lost == 0


def test_a_live_stream_passes_over_epochs_that_unreadable_frames_may_have_used() -> None:
    items = [window(1, 0, position=None), window(2, 0, shard_id="f"), window(4, 2, shard_id="f")]
    contents = Contents.read(items, next_seq=6)
    assert contents.next_epoch("s", is_live=True) == 1 + 2
    assert contents.next_epoch("never seen", is_live=True) == 2
    # A file is cut again from where it is known to be, under the same epochs.
    assert contents.next_epoch("f", is_live=False) == 3


def test_an_epoch_known_again_ends_the_passing_over() -> None:
    items = [window(1, 0, position=None), window(4, 3, position=None)]
    assert Contents.read(items, next_seq=5).next_epoch("s", is_live=True) == 4


def test_the_format_is_in_every_frame() -> None:
    for _, frame in (window(1, 0), ack(2, 1, 200)):
        assert msgspec.json.decode(frame.meta)["v"] == 1
