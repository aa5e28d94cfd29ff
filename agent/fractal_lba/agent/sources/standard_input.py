"""Standard input: units as they come, which cannot be read again.

``-`` is bytes (or texts, each a window), ``csv:-`` and ``ndjson:-`` are rows. There is no position:
what was read and is not in the outbox when the agent dies is gone, and its stream's epochs go on.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from fractal_lba.agent.cutting import Units
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.ndjson_rows import NdjsonRows
from fractal_lba.agent.window import check_row
from fractal_lba.protocol import Profile

KEY = "stdin:"
WORDS = ("-", "csv:-", "ndjson:-")

# Rows, or what a pipe holds at the most, 64 KiB.
PIECES_WAITING_MAX = 64

_STDIN = 0

# What a pipe holds at the most by default.
_READ_BYTES = 65_536


class StandardInput:
    """What is piped into the agent."""

    key = KEY
    waiting_max = PIECES_WAITING_MAX

    def __init__(
        self,
        word: str,
        columns: Sequence[str] | None,
        file: BinaryIO | None = None,
        *,
        is_repairing: bool = False,
    ) -> None:
        """Name the source.

        Args:
            word: One of ``WORDS``.
            columns: Columns of the rows; None for all.
            file: What to read; None for standard input.
            is_repairing: See ``RowFile``.
        """
        self.name = word
        self.profile = Profile.BYTES if word == "-" else Profile.POINTS
        self._columns = columns
        self._is_repairing = is_repairing
        self._file = file

    async def run(self, put: Callable[[Units], Awaitable[None]]) -> None:
        """Hand over what comes until it ends.

        It is read in a thread of its own, which nothing waits for when observing ends before the
        input does: a read cannot be interrupted.

        Raises:
            ContractError: A row cannot be read; those before it were handed over.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        async def hand_over(units: Units) -> None:
            await put(units)

        def read() -> None:
            failure: Exception | None = None
            try:
                for units in self.units():
                    asyncio.run_coroutine_threadsafe(hand_over(units), loop).result()
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                failure = error
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, done, failure)

        threading.Thread(target=read, name="fractal-agent-stdin", daemon=True).start()
        await done

    def units(self) -> Iterator[Units]:
        """Yield what comes as soon as it comes; blocking.

        Raises:
            ContractError: A row cannot be read; those before it were yielded.
        """
        # Not sys.stdin: a thread that reads from it when the process ends would abort it.
        file = open(_STDIN, "rb", closefd=False) if self._file is None else self._file  # noqa: SIM115 - a number, which stays open
        if self.profile is Profile.BYTES:
            while data := os.read(file.fileno(), _READ_BYTES):
                yield data
            return
        path = Path(self.name)
        make = NdjsonRows if self.name.startswith("ndjson") else CsvRows
        source = make(path, self._columns, is_repairing=self._is_repairing)
        for number, row in enumerate(source.rows(file), start=1):
            if not self._is_repairing:
                check_row(row.values, where=self.name, row=number)
            yield [row.values]


def _settle(done: "asyncio.Future[None]", failure: Exception | None) -> None:
    if not done.done():
        done.set_result(None) if failure is None else done.set_exception(failure)
