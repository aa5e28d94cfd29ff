"""Lines of a file, with the offset behind the last one taken, so that a return reads nothing twice.

At the end of a file a last line without a line end counts as a line. Where the byte before a
position, which the mark vouches for, is no line feed, reading ended inside a line: the file may go
on from there with a line end and nothing else.
"""

from typing import BinaryIO

from fractal_lba.agent.window import SourcePosition
from fractal_lba.protocol import ContractError

# 4,096 columns of 24 digits take a tenth of it; a file without line ends must not be read whole.
LINE_BYTES_MAX = 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class Lines:
    """The lines of a file as text, with the offset behind the last one taken.

    A line without a line end is the last one, whatever the file gains meanwhile: its rest must not
    be taken for a line of its own.

    Attributes:
        offset: Behind the last line taken.
        row: Rows taken, counted by whoever makes rows of lines.
        is_open: The last line has no line end.
        is_growing: A line without a line end is not there yet.
        is_over: There was no further line.
    """

    def __init__(self, file: BinaryIO, name: str, *, is_growing: bool = False) -> None:
        self.offset = 0
        self.row = 0
        self.is_open = False
        self.is_growing = is_growing
        self.is_over = False
        self._file = file
        self._name = name

    def go_on(self, after: SourcePosition) -> None:
        """Go on behind a position, and behind the line end of a line that was open there.

        Raises:
            ContractError: The line went on instead: its row was observed with other values than it
                has now.
        """
        self.offset, self.row = after.offset, after.units
        self._file.seek(after.offset - 1)
        if self._file.read(1) == b"\n":
            return
        rest = self._file.readline(LINE_BYTES_MAX)
        if rest.strip(b"\r\n"):
            raise ContractError(
                f"{self._name}: row {self.row} was observed before its line ended: expected a line"
                f" end at byte {self.offset}, got more of the line;"
                " give the file another name or use another data folder"
            )
        self.offset += len(rest)
        self.is_open = not rest.endswith(b"\n")

    def line(self) -> str:
        """Return the next line, its line end included; empty where there is none.

        Raises:
            ContractError: It is longer than a line may be, or no UTF-8.
        """
        return self.text(self.take())

    def take(self) -> bytes:
        """Return the next line as it is; empty where there is none.

        Raises:
            ContractError: It is longer than a line may be.
        """
        if self.is_open:
            self.is_over = True
            return b""
        data = self._file.readline(LINE_BYTES_MAX)
        if len(data) == LINE_BYTES_MAX and not data.endswith(b"\n"):
            raise ContractError(
                f"{self._name}: row {self.row + 1}: expected a line of at most"
                f" {LINE_BYTES_MAX} bytes, got a longer one"
            )
        if not data.endswith(b"\n"):
            self.is_over = not data or self.is_growing
            if self.is_over:
                return b""
            self.is_open = True
        self.offset += len(data)
        return data

    def text(self, data: bytes) -> str:
        """Return a line as text, without the mark that a first one may begin with.

        Raises:
            ContractError: It is no UTF-8.
        """
        is_first = self.offset == len(data)
        try:
            return (data.removeprefix(_BOM) if is_first else data).decode()
        except UnicodeDecodeError as error:
            raise ContractError(
                f"{self._name}: row {self.row + 1}: expected UTF-8, got other bytes"
            ) from error


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Return the bytes there, fewer where the file ends, and leave the file where it is."""
    before = file.tell()
    file.seek(offset)
    try:
        return file.read(size)
    finally:
        file.seek(before)
