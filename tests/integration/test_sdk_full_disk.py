"""An SDK's outbox on a disk that is full: refused, nothing torn, and on with room."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.sdk_drivers import SDKS, Driver, require
from tests.support.signed import body
from tests.support.small_disk import fill, small_disk

PAIRS: Final = (("go", "go"), ("typescript", "python"), ("rust", "rust"))
REFUSING: Final = [pair for pair in PAIRS if set(pair) <= set(SDKS)]
"""Those whose append does not wait for room, each with who opens what it left."""

FULL: Final = {"error": {"kind": "full", "code": None}}
TOGETHER: Final = 32


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, 4) as mount:
        yield mount


def append(driver: Driver, epochs: range) -> dict[str, Any]:
    bodies = [base64.b64encode(body(epoch)).decode() for epoch in epochs]
    return driver.ask("outbox.append", source="x", bodies=bodies)


def pending(driver: Driver) -> dict[int, bytes]:
    windows: list[dict[str, Any]] = driver.ask("outbox.pending")["windows"]
    return {each["seq"]: base64.b64decode(each["body"]) for each in windows}


def recovered(name: str, data: Path, kept: dict[int, bytes]) -> None:
    """Open what a process left: it holds what was kept, and nothing torn."""
    with Driver(name) as driver:
        assert driver.open_outbox(data) == len(kept)
        assert pending(driver) == kept
        driver.ask("outbox.close")
    assert list(data.glob("outbox/*.cut")) == []


@pytest.mark.parametrize(("name", "reader"), REFUSING)
def test_an_append_without_room_is_refused_and_the_next_one_with_room_is_kept(
    name: str, reader: str, disk: Path, tmp_path: Path
) -> None:
    require(name, reader)
    data = disk / "data"
    kept: dict[int, bytes] = {}
    driver = Driver(name)
    driver.open_outbox(data)

    def keep(first: int) -> bool:
        epochs = range(first, first + TOGETHER)
        said = append(driver, epochs)
        if said == FULL:
            return False
        kept.update(zip(said["seqs"], map(body, epochs), strict=True))
        return True

    assert keep(0)
    ballast = fill(disk)
    # Of what is written into the last of it a part fits: that is taken back.
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - (1 << 16))
    epoch = TOGETHER
    while keep(epoch):
        epoch += TOGETHER
    # What a crash right behind the refusal leaves: nothing of what was refused.
    image = shutil.copytree(data, tmp_path / "image")
    before = dict(kept)
    assert not keep(epoch)
    assert pending(driver) == kept
    ballast.unlink()
    assert keep(epoch + TOGETHER)
    assert list(kept) == sorted(kept)
    driver.kill()
    recovered(reader, data, kept)
    recovered(reader, image, before)
