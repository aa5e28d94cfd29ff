"""Damaged files: the outbox of an SDK and the agent's find the same in them, and go on alike."""

import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.support.outboxes import (
    SMALL_SEGMENT_BYTES,
    accept,
    contents_of,
    make_small,
    observe,
    opened,
    record,
    windows,
)
from tests.support.sdk_drivers import Driver
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.opening import FOLDER
from fractal_lba.agent.outbox import Outbox
from fractal_lba.protocol import stored_bytes

WRITERS: Final = ("agent", "sdk")
BATCHES: Final = ((0, 2), (2, 2), (4, 2))
ANSWERED: Final = 1
NEXT: Final = 100
"""The epoch of the window that each goes on with."""

RANDOM: Final = 5
"""Places more than the stated ones, of cuts and of flips."""

SEED: Final = 20_261_122
SEEDS: Final = range(int(os.environ.get("FLBA_SDK_SEEDS", "1")))
IMAGES: Final = 30
EPOCHS: Final = 30

_PLACE = re.compile(r"(\S+) at (?:byte )?(\d+)(?:, \d+ bytes)?: ([^;]+)")
"""Of damage, in the words of each: the file, the byte and what is wrong there."""


class Found(NamedTuple):
    """What an opening finds: the windows that wait, where damage is, how many frames are lost."""

    pending: dict[int, bytes]
    damage: list[tuple[str, ...]]
    lost: int


def stored(epoch: int) -> bytes:
    return stored_bytes(record(epoch))


def segments(data: Path) -> list[Path]:
    return sorted((data / FOLDER).glob("*.seg"))


def names(data: Path) -> list[str]:
    """Return what recovery made of a folder: kinds and ordinals; ids are random."""
    return sorted(path.name[:10] + "".join(path.suffixes) for path in (data / FOLDER).glob("0*"))


def places(damage: list[str]) -> list[tuple[str, ...]]:
    found = [_PLACE.match(each) for each in damage]
    assert all(found), damage
    return [each.groups() for each in found if each is not None]


async def waiting(outbox: Outbox) -> dict[int, bytes]:
    pending = sorted(outbox.contents.pending)
    return {seq: stored_bytes(await outbox.read(seq)) for seq in pending}


async def same_by_both(sdk: Driver, damaged: Path) -> Found | None:
    """Let each recover a copy: they find the same, and go on after it; None where both refuse."""
    what = damaged.name
    by_sdk = shutil.copytree(damaged, damaged.with_name(f"{what}-sdk"))
    by_agent = shutil.copytree(damaged, damaged.with_name(f"{what}-agent"))
    opening = sdk.open_outbox(by_sdk)
    try:
        async with opened(by_agent) as outbox:
            contents = outbox.contents
            expected = Found(await waiting(outbox), places(contents.damage), contents.lost)
            made = names(by_agent)
            (next_seq,) = await outbox.append_all(windows(NEXT, 1))
    except Exception:  # noqa: BLE001 - whatever it is: the other must refuse, too
        assert isinstance(opening, str), what
        return None
    assert opening == len(expected.pending), what
    told = sdk.ask("outbox.damage")
    assert Found(sdk.pending(), places(told["damage"]), told["lost"]) == expected, what
    assert names(by_sdk) == made, what
    (seq,) = sdk.append(stored(NEXT))
    assert seq == next_seq, what
    sdk.close_outbox()
    # What is missing at the end shows once something stands behind it.
    one, other = contents_of(by_sdk), contents_of(by_agent)
    assert (one.lost, places(one.damage)) == (other.lost, places(other.damage)), what
    # What each recovered, and went on with, is whole for the other.
    whole = {**expected.pending, seq: stored(NEXT)}
    async with opened(by_sdk) as outbox:
        assert await waiting(outbox) == whole, what
    assert sdk.open_outbox(by_agent) == len(whole), what
    assert sdk.pending() == whole, what
    sdk.close_outbox()
    return expected


async def written(sdk: Driver, writer: str, data: Path) -> Path:
    """Write some batches and an answer, and return a copy as a kill would leave it."""
    live = data.with_name("live")
    if writer == "agent":
        async with opened(data) as outbox:
            for batch in BATCHES[:2]:
                await outbox.append_all(windows(*batch))
            await accept(outbox, ANSWERED)
            await outbox.append_all(windows(*BATCHES[2]))
            shutil.copytree(data, live)
    else:
        sdk.open_outbox(data)
        for first, count in BATCHES[:2]:
            sdk.append(*map(stored, range(first, first + count)))
        sdk.ask("outbox.acknowledge", seq=ANSWERED, status=200, replayed=False)
        sdk.append(*map(stored, range(BATCHES[2][0], sum(BATCHES[2]))))
        shutil.copytree(data, live)
        sdk.close_outbox()
    return live


def images(source: Path, at: int, to: Path) -> Iterator[Path]:
    """Yield copies of a folder, of which one segment is cut, or has a bit flipped."""
    path = segments(source)[at]
    sound = path.read_bytes()
    size = len(sound.rstrip(b"\0"))
    chance = random.Random(SEED)  # noqa: S311 - places of damage
    # Of the header, the batches and the end; every byte is the matter of the SDK's own tests.
    lengths = {*range(0, 300, 90), *range(300, size, 900), *range(size - 60, size + 1, 12)}
    bits = {8 * byte + 5 for byte in {*range(0, 330, 60), *range(330, size, 700)}}
    lengths |= {chance.randrange(size) for _ in range(RANDOM)}
    bits |= {chance.randrange(8 * size) for _ in range(RANDOM)}
    made = [(f"cut-{length}", sound[:length]) for length in sorted(lengths)]
    for bit in sorted(bits):
        bent = bytearray(sound)
        bent[bit // 8] ^= 1 << bit % 8
        made.append((f"bit-{bit}", bytes(bent)))
    for name, damaged in made:
        data = shutil.copytree(source, to / name)
        (data / FOLDER / path.name).write_bytes(damaged)
        yield data


@pytest.mark.parametrize("writer", WRITERS)
def test_both_recover_the_same_from_a_killed_segment_that_is_cut_or_bent_anywhere(
    writer: str, sdk: Driver, tmp_path: Path
) -> None:
    async def scene() -> None:
        live = await written(sdk, writer, tmp_path / "data")
        found = [await same_by_both(sdk, each) for each in images(live, -1, tmp_path)]
        assert len({len(each.pending) for each in found if each is not None}) > 2

    run_virtual(scene())


@pytest.mark.parametrize("writer", WRITERS)
def test_both_read_past_the_same_damage_in_a_closed_segment(
    writer: str, sdk: Driver, tmp_path: Path
) -> None:
    async def scene() -> None:
        data = tmp_path / "data"
        await written(sdk, writer, data)
        found = [await same_by_both(sdk, each) for each in images(data, 0, tmp_path)]
        assert len({each.lost for each in found if each is not None}) > 2

    run_virtual(scene())


def bent(data: Path, rng: random.Random) -> None:
    """Cut a segment, flip bits of it, or take it away."""
    path = segments(data)[-1] if rng.random() < 0.5 else rng.choice(segments(data))
    whole = bytearray(path.read_bytes())
    match rng.randrange(4):
        case 0:
            del whole[rng.randrange(len(whole)) :]
        case 1:
            whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        case 2:
            start = rng.randrange(len(whole))
            for at in range(start, min(len(whole), start + rng.randrange(2_000))):
                whole[at] = rng.randrange(256)
        case _:
            if len(segments(data)) > 1 and rng.random() < 0.5:
                path.unlink()
                return
            whole += rng.randbytes(rng.randrange(200))
    path.write_bytes(whole)


@pytest.mark.parametrize("seed", SEEDS)
def test_both_find_the_same_in_many_segments_that_are_damaged_anyhow(
    seed: int, sdk: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    assert SMALL_SEGMENT_BYTES < 10_000  # several segments

    async def scene() -> None:
        source = tmp_path / "source"
        # Windows, answers, gaps, copies, totals and streams among them.
        async with opened(source) as outbox:
            for epoch in range(EPOCHS):
                seq = await observe(outbox)
                if epoch % 3:
                    await accept(outbox, seq)
                if epoch == EPOCHS // 2:
                    await outbox.compact()
        missing = 0
        for number in range(IMAGES):
            rng = random.Random(seed * 1_000 + number)  # noqa: S311 - a seed that is printed
            data = shutil.copytree(source, tmp_path / f"seed-{seed}-image-{number}")
            for _ in range(rng.randrange(1, 4)):
                bent(data, rng)
            found = await same_by_both(sdk, data)
            missing += 0 if found is None else EPOCHS // 3 - len(found.pending)
        assert missing > IMAGES / 4  # the images do hold damage

    run_virtual(scene())
