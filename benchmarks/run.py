"""Every figure the README quotes: ``make bench``.

Prints what was measured where, then one table. Exit code 0 when every figure was taken, whatever
its verdict: a target that is not met is a result, not an error. Where a module fails, the table
holds what the others measured and names what it lacks, and the exit code is 1.
"""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from benchmarks import (
    alternatives,
    append,
    batch,
    flood,
    idle,
    index,
    outbox,
    replay,
    rolling,
    sdks,
    shipping,
    siege,
    signals,
    soak,
    submit,
    verify,
)
from benchmarks.figures import Figure, table
from benchmarks.machine import header

from fractal_lba.server.config import Settings

QUOTED: Final = "bench"


def quote(document: Path, output: str, name: str) -> None:
    """Put the output into a document, in the place of what was quoted there before.

    Raises:
        RuntimeError: The document has no such place; it is as it was.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, found, rest = document.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise RuntimeError(f"{document}: expected {begin.strip()} and {end.strip()}, got none")
    document.write_text(f"{before}{begin}{output}\n{end}{after}", encoding="utf-8")


def taken(
    modules: Iterable[tuple[str, Callable[[], list[Figure]]]],
) -> tuple[list[Figure], list[str]]:
    """Return what modules measured, and the names of those that failed, which stderr tells of."""
    figures: list[Figure] = []
    failed = []
    for module, measure in modules:
        print(f"measuring {module} …", file=sys.stderr, flush=True)
        began = time.perf_counter()
        try:
            found = measure()
        except Exception:  # noqa: BLE001 - what the others measured is worth its minutes
            traceback.print_exc()
            failed.append(module)
        else:
            figures += found
            told = f"{table(found)}\n{module}: {time.perf_counter() - began:.0f} s"
            print(told, file=sys.stderr, flush=True)
    return figures, failed


def main() -> int:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.run")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path.cwd(),
        help="where the files under measurement are written: its disk is the one measured; "
        "default: the current folder",
    )
    parser.add_argument(
        "--quote", type=Path, help=f"also put the output into this file, where {QUOTED} is marked"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix=".bench-") as name:
        folder = Path(name)

        def own(module: str) -> Path:
            # What one of them leaves must be in nobody's way.
            (folder / module).mkdir()
            return folder / module

        facts = header(folder, batch_records_max=Settings().batch_records_max)
        print(facts, flush=True)
        modules: tuple[tuple[str, Callable[[], list[Figure]]], ...] = (
            ("verify", verify.measure),
            ("sdks", sdks.measure),
            ("signals", lambda: signals.measure(own("signals"))),
            ("append", lambda: append.measure(own("append"))),
            ("index", lambda: index.measure(own("index"))),
            ("replay", lambda: replay.measure(own("replay"))),
            ("outbox", lambda: outbox.measure(own("outbox"))),
            ("shipping", lambda: shipping.measure(own("shipping"))),
            ("idle", lambda: idle.measure(own("idle"))),
            ("submit", lambda: submit.measure(own("submit"))),
            ("batch", lambda: batch.measure(own("batch"))),
            ("alternatives", lambda: alternatives.measure(own("alternatives"))),
            ("siege", lambda: siege.measure(own("siege"))),
            ("flood", lambda: flood.measure(own("flood"))),
            ("rolling", lambda: rolling.measure(own("rolling"))),
            ("soak", lambda: soak.measure(own("soak"))),
        )
        figures, failed = taken(modules)
    print(f"\n{table(figures)}")
    if failed:
        print(f"\nNot measured, since they failed: {', '.join(failed)}.")
        return 1
    if arguments.quote:
        quote(arguments.quote, f"{facts}\n\n{table(figures)}", QUOTED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
