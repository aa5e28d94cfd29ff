"""One target under libFuzzer: ``python -m tests.fuzz.atheris_target NAME FOLDER OPTION…``.

Started by `tests.fuzz.run`. The package has no types and is only installed where somebody wants
it, so that it is imported by name.
"""

import importlib
import sys


def main() -> None:
    """Instrument what a target runs through and hand over to libFuzzer, which ends the process."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["fractal_lba", "json", "tomllib"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    target = targets[sys.argv[1]]

    def read(data: bytes) -> None:
        target.read(data)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
