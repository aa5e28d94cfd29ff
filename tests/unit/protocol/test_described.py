"""What is decoded to was described when its module was imported: no thread meets half of it."""

import ast
import gc
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec

import fractal_lba


def described(kind: type[msgspec.Struct]) -> bool:
    return any(type(held).__name__ == "StructInfo" for held in gc.get_referents(kind))


def decoded_to(module: ModuleType) -> Iterator[tuple[int, type[msgspec.Struct]]]:
    """Yield the types that a module's calls of ``convert`` and ``decode`` name, with the line."""
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        if isinstance(call.func, ast.Attribute) and call.func.attr in {"convert", "decode"}:
            named = [*call.args[1:], *(each.value for each in call.keywords if each.arg == "type")]
            for name in named:
                kind = getattr(module, name.id, None) if isinstance(name, ast.Name) else None
                if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                    yield call.lineno, kind


def look() -> None:
    """Print what a fresh process, which has decoded nothing yet, finds."""
    found = 0
    for each in pkgutil.walk_packages(fractal_lba.__path__, "fractal_lba."):
        if each.name.endswith("__main__"):
            continue
        module = importlib.import_module(each.name)
        if Path(module.__file__ or "").suffix != ".py":
            continue  # native code, which decodes nothing
        for line, kind in decoded_to(module):
            found += 1
            if not described(kind):
                told = f"{each.name}, line {line}: {kind.__name__}: expected @described"
                sys.stdout.write(f"{told}\n")
    sys.stdout.write(f"{found} types\n")


def test_a_type_that_is_decoded_to_is_described_at_import() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import look; look()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *wrong, counted = done.stdout.splitlines()
    assert wrong == []
    assert int(counted.split()[0]) >= 12


def test_the_look_tells_what_is_described_from_what_is_not() -> None:
    class Fresh(msgspec.Struct):
        member: int

    assert not described(Fresh)
    msgspec.convert({"member": 1}, Fresh)
    assert described(Fresh)
