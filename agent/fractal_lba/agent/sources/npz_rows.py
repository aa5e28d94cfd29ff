"""Rows of the arrays of a ``.npz`` file, each array a source of its own, as ``points/1``.

An array is read whole, since it may be compressed: memory is bounded by the largest one, and that
by ``ARRAY_BYTES_MAX``, which its header must keep before anything of it is read. Position and mark
are those of a ``.npy`` file.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from fractal_lba.agent.sources.base import source_key
from fractal_lba.agent.sources.npy_rows import ArrayRows
from fractal_lba.agent.sources.timed import Timing
from fractal_lba.protocol import ContractError

# A quarter of a common machine; a few kilobytes of zip can claim any size.
ARRAY_BYTES_MAX = 1 << 30

_ENDING = ".npy"


class NpzRows(ArrayRows):
    """One array of a ``.npz`` file."""

    def __init__(
        self,
        path: Path,
        array: str,
        *,
        is_repairing: bool = False,
        timing: Timing | None = None,
    ) -> None:
        key = f"{source_key('npz', path)}#array={quote(array, safe='')}"
        super().__init__(f"{path}: array {array!r}", key, is_repairing=is_repairing, timing=timing)
        self._path = path
        self._name = array

    @override
    def _array(self) -> NDArray[np.generic]:
        return self._read(self._name)

    @override
    def _times(
        self, rows: NDArray[np.generic], timing: Timing
    ) -> tuple[NDArray[np.generic], int | None]:
        if timing.column not in arrays_of(self._path):
            return super()._times(rows, timing)
        times = self._read(timing.column)
        if times.dtype.kind not in "iufM" or times.shape != rows.shape[:1]:
            raise ContractError(
                f"{self.name}: --time-column {timing.column!r}: expected {rows.shape[0]} numbers or"
                f" datetime64 in one dimension, got {times.dtype} in the shape {times.shape}"
            )
        return times, None

    def _read(self, array: str) -> NDArray[np.generic]:
        with _zip(self._path) as archive, archive.open(array + _ENDING) as file:
            shape, is_fortran, dtype = _header(file)
            if dtype.hasobject or dtype.itemsize * int(np.prod(shape)) > ARRAY_BYTES_MAX:
                raise ContractError(
                    f"{self.name}: expected numbers in at most {ARRAY_BYTES_MAX} bytes,"
                    f" got {dtype} in the shape {shape}"
                )
            size = dtype.itemsize * int(np.prod(shape))
            data = file.read(size)
            if len(data) < size:
                raise ContractError(f"{self.name}: expected {size} bytes, got {len(data)}")
        return np.ndarray(shape, dtype, buffer=data, order="F" if is_fortran else "C")


def arrays_of(path: Path) -> list[str]:
    """Return the names of the arrays in a ``.npz`` file, in the order of the file.

    Raises:
        ContractError: It is no such file, or holds none.
    """
    with _zip(path) as archive:
        names = [
            name.removesuffix(_ENDING) for name in archive.namelist() if name.endswith(_ENDING)
        ]
    if not names or len(set(names)) < len(names):
        raise ContractError(f"{path}: expected arrays of different names, got {len(names)} of them")
    return names


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, "np.dtype[np.generic]"]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except OSError as error:
        raise ContractError(f"{path}: expected a readable file, got {error.strerror}") from error
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, NotImplementedError) as error:
        raise ContractError(f"{path}: expected a .npz file, got another format") from error
