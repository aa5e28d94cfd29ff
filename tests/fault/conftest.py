"""What the fault tests share: a folder in memory, for the many that open thousands of files."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.wal_streams import memory_folder


@pytest.fixture
def ram_path() -> Iterator[Path]:
    """Give a folder that is removed afterwards; in memory where the machine has such a place."""
    path = Path(tempfile.mkdtemp(prefix="fault-", dir=memory_folder()))
    yield path
    shutil.rmtree(path)
