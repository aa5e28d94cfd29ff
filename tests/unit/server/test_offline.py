"""What writes to a stopped server's files writes as their owner."""

import os
from pathlib import Path

import pytest

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server import offline
from fractal_lba.server.app import initialise
from fractal_lba.server.config import Settings


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    initialise(tmp_path / "server")
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    return tmp_path / "server"


def everything(base: Path) -> list[Path]:
    return sorted((base / "data").rglob("*"))


def test_a_repair_by_another_user_than_the_owner_is_refused_and_writes_nothing(base: Path) -> None:
    before = everything(base)
    with pytest.raises(ContractError, match=r"expected to be run by its owner, user \d+, got user"):
        offline.repair(Settings(), base)
    assert everything(base) == before


def test_a_migration_by_another_user_is_refused_and_looking_is_not(base: Path) -> None:
    before = everything(base)
    assert offline.migrate(Settings(), base, is_applied=False)
    with pytest.raises(ContractError, match="expected to be run by its owner"):
        offline.migrate(Settings(), base, is_applied=True)
    assert everything(base) == before
