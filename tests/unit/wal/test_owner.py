import os
from pathlib import Path

import pytest

from fractal_lba.protocol.errors import ContractError
from fractal_lba.wal import check_writer


def test_the_owner_of_a_folder_may_write_to_it(tmp_path: Path) -> None:
    check_writer(tmp_path)


def test_another_user_may_not_and_is_told_who_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ContractError, match=rf"its owner, user {owner}, got user {owner + 1}"):
        check_writer(tmp_path)
