"""Every figure the README quotes: ``make bench``.

Prints what was measured where, then one table. Exit code 0 when every figure was taken, whatever
its verdict: a target that is not met is a result, not an error.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import append, submit, verify
from benchmarks.figures import table
from benchmarks.machine import header

from fractal_lba.server.config import Settings


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
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix=".bench-") as name:
        folder = Path(name)
        print(header(folder, batch_records_max=Settings().batch_records_max), flush=True)
        figures = []
        for module, measure in (
            ("verify", verify.measure),
            ("append", lambda: append.measure(folder)),
            ("submit", lambda: submit.measure(folder)),
        ):
            print(f"measuring {module} …", file=sys.stderr, flush=True)
            figures += measure()
    print(f"\n{table(figures)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
