"""Write the golden vectors, or check that the committed ones are what would be written.

::

    python -m golden_vectors.generate            write every file
    python -m golden_vectors.generate --check    change nothing; exit 1 where a file differs

Deterministic: no clock, no randomness but that of written-down seeds.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from golden_vectors.generator.canonical import canonical_file
from golden_vectors.generator.digests import digests_file, ids_file
from golden_vectors.generator.files import VectorFile
from golden_vectors.generator.http_exchanges import http_exchanges_file
from golden_vectors.generator.json_refusals import json_refusals_file
from golden_vectors.generator.keys import keyrings_file
from golden_vectors.generator.legacy_records import legacy_records_file
from golden_vectors.generator.merkle import merkle_inclusion_file, merkle_roots_file
from golden_vectors.generator.merkle_consistency import merkle_consistency_file
from golden_vectors.generator.outcomes import outcomes_file
from golden_vectors.generator.records import records_file
from golden_vectors.generator.ring import ring_file
from golden_vectors.generator.signals import signals_bytes_file, signals_points_file
from golden_vectors.generator.signed_records import signing_records_file
from golden_vectors.generator.signing import signing_ed25519_file
from golden_vectors.generator.signing_hmac import signing_hmac_file
from golden_vectors.runner import FOLDER, files

MAKERS: Final[tuple[Callable[[], VectorFile], ...]] = (
    canonical_file,
    json_refusals_file,
    records_file,
    legacy_records_file,
    ids_file,
    digests_file,
    outcomes_file,
    signing_ed25519_file,
    signing_hmac_file,
    keyrings_file,
    signing_records_file,
    signals_points_file,
    signals_bytes_file,
    merkle_roots_file,
    merkle_inclusion_file,
    merkle_consistency_file,
    ring_file,
    http_exchanges_file,
)


def generated() -> dict[str, str]:
    """Return each file's text by its name."""
    return {f"{made.name}.json": made.text() for made in (maker() for maker in MAKERS)}


def differing(folder: Path, texts: dict[str, str]) -> list[str]:
    """Return the names of files that differ, are missing, or should not be there."""
    present = {path.name: path.read_bytes() for path in files(folder)}
    names = sorted(present.keys() | texts.keys())
    return [name for name in names if present.get(name) != texts.get(name, "").encode()]


def main(arguments: list[str] | None = None) -> int:
    """Write or check; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m golden_vectors.generate")
    parser.add_argument(
        "--check", action="store_true", help="change nothing, exit 1 on a difference"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files are")
    options = parser.parse_args(arguments)
    texts = generated()
    differ = differing(options.folder, texts)
    if options.check:
        return _say(differ, texts)
    for name in differ:
        print(f"{name}: written")
        if name in texts:
            (options.folder / name).write_bytes(texts[name].encode())
    return 0


def _say(differ: list[str], texts: dict[str, str]) -> int:
    counts = {name: json.loads(text)["numberOfTests"] for name, text in texts.items()}
    for name in sorted(counts.keys() | set(differ)):
        print(f"{name}: {'differs' if name in differ else f'{counts[name]} cases'}")
    if differ:
        return 1
    print(f"as the generator writes them: {sum(counts.values())} cases in {len(counts)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
