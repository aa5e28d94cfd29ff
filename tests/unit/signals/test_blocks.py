"""A window in blocks, or larger than memory: read once, never held twice, refused by its row."""

import resource
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

from fractal_lba.protocol import ContractError
from fractal_lba.signals import summarise_blocks, summarise_points
from fractal_lba.signals.window import BLOCK_BYTES, check_points, point_blocks

MIB = 2**20
WIDE = np.random.default_rng(12).normal(size=(600, 4096))


def test_a_mapped_file_has_the_summary_of_its_table(tmp_path: Path) -> None:
    np.save(tmp_path / "window.npy", WIDE)
    assert summarise_points(np.load(tmp_path / "window.npy", mmap_mode="r")) == (
        summarise_points(WIDE)
    )


def test_a_table_of_doubles_is_read_where_it_lies() -> None:
    blocks = list(point_blocks(WIDE))
    assert [len(block) for block in blocks] == [256, 256, 88]
    assert all(np.shares_memory(block, WIDE) for block in blocks)
    assert max(block.nbytes for block in blocks) == BLOCK_BYTES


def test_blocks_of_other_types_and_lists_are_one_window() -> None:
    rows = np.arange(40).reshape(10, 4)
    blocks: list[ArrayLike] = [
        rows[:3].tolist(),
        rows[3:4].astype(np.float32),
        rows[:0],
        rows[4:].astype(np.int16),
    ]
    assert summarise_blocks(blocks) == summarise_points(rows)
    series: list[ArrayLike] = [[1.0, 2.0], np.array([5.0]), [3]]
    assert summarise_blocks(series) == summarise_points([1.0, 2.0, 5.0, 3.0])


def test_a_block_is_let_go_once_the_next_is_there() -> None:
    made: list[weakref.ref[np.ndarray]] = []

    def blocks() -> Iterator[np.ndarray]:
        for _ in range(5):
            assert [block() is None for block in made[:-1]] == [True] * len(made[:-1])
            block = np.ones((2, 5))
            made.append(weakref.ref(block))
            yield block
            del block

    assert summarise_blocks(blocks()).n == 10
    assert len(made) == 5


REFUSED: dict[str, tuple[list[ArrayLike], str]] = {
    "another width": ([np.ones((4, 3)), np.ones((4, 2))], "block 1: expected 3 columns, got 2"),
    "text": ([np.ones((4, 1)), ["a"]], "block 1: expected real numbers, got type <U1"),
    "no block": ([], "window: expected 3 to 65536 rows, got 0"),
    "two rows": ([[1.0], [2.0]], "window: expected 3 to 65536 rows, got 2"),
    "too many rows": (
        [np.zeros(65_530), np.zeros(7)],
        "window: expected 3 to 65536 rows, got more",
    ),
    "no columns": ([np.ones((4, 0))], "window: expected 1 to 4096 columns, got 0"),
    "too many columns": ([np.ones((4, 4097))], "window: expected 1 to 4096 columns, got 4097"),
    "nan in the second": (
        [np.ones((4, 2)), [[1.0, 1.0], [1.0, np.nan]]],
        "window row 5, column 1: expected a finite number of magnitude at most 1e300, got NaN",
    ),
    "masked in the second": (
        [np.ones((4, 1)), np.ma.masked_array([[1.0], [2.0]], mask=[[False], [True]])],
        "window row 5: expected a value, got a masked one",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_blocks_are_refused_by_name(name: str) -> None:
    blocks, message = REFUSED[name]
    with pytest.raises(ContractError) as refused:
        summarise_blocks(blocks)
    assert str(refused.value) == message


def test_a_bad_value_beyond_the_first_block_is_refused_by_its_row() -> None:
    window = np.zeros((300, 4096))
    window[299, 7] = np.inf
    with pytest.raises(ContractError, match=r"^window row 299, column 7: .* got an infinity$"):
        summarise_points(window)


SUMMARISE_WITHIN = """
import resource, sys
import numpy as np
from fractal_lba.signals import summarise_blocks, summarise_points

path, how, spare = sys.argv[1], sys.argv[2], int(sys.argv[3])
mapped = np.load(path, mmap_mode="r")
blocks = (np.full((256, 4096), float(n)) for n in range(12))
if how == "float32":
    mapped = np.load(path.replace("doubles", "singles"), mmap_mode="r")
with open("/proc/self/status", encoding="ascii") as status:
    held = next(int(line.split()[1]) for line in status if line.startswith("VmData:")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + spare, held + spare))
summary = summarise_blocks(blocks) if how == "blocks" else summarise_points(mapped)
if how == "copied":
    np.array(mapped)
print(summary.n)
"""


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of 96 MiB: pages of zeros that take no place, and a few rows."""
    folder = tmp_path_factory.mktemp("mapped")
    for name, dtype in (("doubles", np.float64), ("singles", np.float32)):
        window = np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+", dtype=dtype, shape=(3072, 4096)
        )
        window[::100] = np.random.default_rng(0).normal(size=4096)
        window.flush()
    return folder / "doubles.npy"


def within(path: Path, how: str, spare: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SUMMARISE_WITHIN, str(path), how, str(spare)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("how", ["mapped", "float32", "blocks"])
def test_a_window_is_summarised_in_less_memory_than_it_takes(how: str, mapped: Path) -> None:
    # The system refuses anonymous memory beyond the bound of specs/signals.md.
    assert resource.RLIMIT_DATA
    done = within(mapped, how, 64 * MIB)
    assert (done.stdout, done.returncode) == ("3072\n", 0), done.stderr


def test_a_second_copy_would_be_refused(mapped: Path) -> None:
    done = within(mapped, "copied", 64 * MIB)
    assert "MemoryError" in done.stderr


def test_a_checked_table_is_a_copy() -> None:
    checked = check_points(WIDE)
    assert checked.tobytes() == WIDE.tobytes()
    assert not np.shares_memory(checked, WIDE)
    assert check_points([1, 2, 3]).tolist() == [[1.0], [2.0], [3.0]]
