"""A keyring that is replaced and a folder that is made, while any call of the disk fails."""

import errno
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from tests.support.failing_disk import Crash, Effect, FailingDisk
from tests.support.memory_disk import MemoryDisk

from fractal_lba.keyfile import write_private
from fractal_lba.protocol.errors import ContractError, DurabilityError
from fractal_lba.server.storage.ledgers import has_ledger
from fractal_lba.server.storage.provision import SERVER_KEYRING, SETTINGS, provision

ROOT: Final = Path("/disk")
RING: Final = ROOT / "keyring.json"
OLD, NEW = b"old ring", b"new ring, which is longer"
FAULTS: Final = [
    pytest.param(error, effect, id=f"{errno.errorcode.get(error or 0, 'crash')}-{effect}")
    for error in (errno.EIO, errno.ENOSPC, errno.EDQUOT, None)
    for effect in Effect
]


def memory() -> MemoryDisk:
    return MemoryDisk(ROOT, random.Random(1))  # noqa: S311 - no secret


def calls_of(work: Callable[[FailingDisk], object]) -> int:
    disk = FailingDisk(memory(), is_syncing=True)
    work(disk)
    return len(disk.calls)


def replace(disk: FailingDisk) -> None:
    if isinstance(disk.inner, MemoryDisk):
        disk.inner.put(RING, OLD)
    write_private(RING, NEW, files=disk)


@pytest.mark.parametrize(("error", "effect"), FAULTS)
def test_whichever_call_fails_the_old_ring_or_the_new_one_stands_whole(
    error: int | None, effect: Effect, tell: Callable[[str, str], None]
) -> None:
    total = calls_of(replace)
    for call in range(1, total + 1):
        below = memory()
        disk = FailingDisk(below, fail_at=call, error=error, effect=effect, is_syncing=True)
        with pytest.raises((OSError, Crash)):
            replace(disk)
        assert below.content(RING) in {OLD, NEW}, call
        is_named = disk.calls[call - 1].name in {"rename", "sync_dir"}
        assert below.content(RING) == OLD or is_named, call
        beside = [name for name in below.names(ROOT) if name != RING.name]
        # Where the process died, or the disk made the file and said that it did not.
        is_left = error is None or (disk.calls[call - 1].name, effect) == ("create", Effect.WHOLE)
        assert not beside or is_left, call
    tell("faults", f"calls of a replacement that failed: {total} of {total}")


@pytest.mark.parametrize(("error", "effect"), FAULTS)
def test_whichever_call_of_init_fails_a_folder_with_settings_is_a_whole_one(
    error: int | None, effect: Effect, tell: Callable[[str, str], None]
) -> None:
    folder = ROOT / "above" / "server"
    total = calls_of(lambda disk: provision(disk, folder))
    unfinished = 0
    for call in range(1, total + 1):
        below = memory()
        disk = FailingDisk(below, fail_at=call, error=error, effect=effect, is_syncing=True)
        with pytest.raises((OSError, DurabilityError, Crash)):
            provision(disk, folder)
        data = folder / "data"
        if below.is_folder(data) and "shards.json" in below.names(data):
            shards = json.loads(below.content(data / "shards.json"))["shards"]
            assert all(has_ledger(below, data / each["name"]) for each in shards)
        if below.is_folder(folder) and SETTINGS in below.names(folder):
            assert json.loads(below.content(folder / SERVER_KEYRING))["keys"]
            assert json.loads(below.content(folder / "data" / "shards.json"))["shards"]
        if below.is_folder(folder) and {"token", "data"} & set(below.names(folder)):
            unfinished += 1
            if not below.is_read_only:
                with pytest.raises(ContractError, match="expected nothing there"):
                    provision(FailingDisk(below, is_syncing=True), folder)
    assert unfinished
    tell("faults", f"calls of an init that failed: {total} of {total}")
