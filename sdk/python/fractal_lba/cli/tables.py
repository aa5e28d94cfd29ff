"""Tables of numbers from bytes: ``.npy`` by its magic, CSV otherwise.

The rule: nothing is guessed. A cell is a decimal number or the table is refused, naming line and
column, never the cell. A file that promises more than a window may hold is refused by its header,
before memory is taken for it.
"""

import array
import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fractal_lba.protocol import ContractError
from fractal_lba.signals.window import COLUMNS_MAX, ROWS_MAX

# What float() would also read ("1_000", other digits) is more likely a mistake than a number. NaN
# and infinities pass here and are refused with their row, like those of any other source.
_NUMBER: Final = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan|inf|infinity)", re.IGNORECASE
)


def read_table(data: bytes, *, columns: Sequence[str] | None = None) -> NDArray[Any]:
    """Return the table a file holds, in the file's own type for ``.npy``, doubles for CSV.

    Args:
        data: the whole file.
        columns: of a CSV with names, which to take and in which order; all when None.

    Raises:
        ContractError: It is neither, a cell is no number, or a column is missing.
    """
    if not data.startswith(npy.MAGIC_PREFIX):
        return _read_csv(data, columns)
    if columns is not None:
        raise ContractError("columns: expected a CSV file with names, got .npy")
    return _read_npy(data)


def _read_npy(data: bytes) -> NDArray[Any]:
    file = io.BytesIO(data)
    try:
        major, _ = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            raise ContractError("table: expected numbers, got Python objects")
        if any(size > limit for size, limit in zip(shape, (ROWS_MAX, COLUMNS_MAX), strict=False)):
            raise ContractError(
                f"table: expected at most {ROWS_MAX} rows of {COLUMNS_MAX} columns, got shape "
                f"{'x'.join(map(str, shape))}"
            )
        file.seek(0)
        return npy.read_array(file, allow_pickle=False)
    except ValueError as error:
        raise ContractError("table: expected a sound .npy file, got a damaged one") from error


def _read_csv(data: bytes, columns: Sequence[str] | None) -> NDArray[np.float64]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ContractError("table: expected .npy or UTF-8 text, got other bytes") from error
    lines = _lines(text)
    number, first = next(lines, (0, []))
    if not first:
        raise ContractError("table: expected rows, got none")
    chosen = list(range(len(first)))
    cells = array.array("d")
    if columns is not None:
        chosen = [_position(first, name) for name in columns]
    elif all(_NUMBER.fullmatch(cell.strip()) for cell in first):
        _take(cells, number, first, chosen)
    for number, line in lines:
        if len(line) != len(first):
            raise ContractError(f"line {number}: expected {len(first)} cells, got {len(line)}")
        _take(cells, number, line, chosen)
    return np.array(cells, dtype=np.float64).reshape(-1, len(chosen))


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Return each line that is not empty with the number of its last line in the file."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for line in reader:
            if line:
                yield reader.line_num, line
    except csv.Error as error:
        raise ContractError(f"line {reader.line_num}: expected CSV, got something else") from error


def _position(names: list[str], name: str) -> int:
    positions = [index for index, other in enumerate(names) if other.strip() == name]
    if len(positions) != 1:
        raise ContractError(
            f"columns: expected {name!r} once in the first line, got it {len(positions)} times"
        )
    return positions[0]


def _take(cells: "array.array[float]", number: int, line: list[str], chosen: list[int]) -> None:
    for index in chosen:
        cell = line[index].strip()
        if _NUMBER.fullmatch(cell) is None:
            got = "another text" if cell else "an empty one"
            raise ContractError(f"line {number}, cell {index + 1}: expected a number, got {got}")
        cells.append(float(cell))
