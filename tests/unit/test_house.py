"""The house rules a machine can check: what no file may hold, and how long a module may be."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES_MAX = 400
NAMESPACE_FOLDERS = ("sdk/python/fractal_lba", "agent/fractal_lba", "server/fractal_lba")
SOURCE_ROOTS = (
    "sdk",
    "agent",
    "server",
    "tests",
    "golden_vectors",
    "demo",
    "benchmarks",
    "specs",
    "runbooks",
)

# Written so that this file does not hold what it forbids.
INDEX_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("yarnpkg", "com"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("index", "crates", "io"),
        ("static", "crates", "io"),
        ("crates", "io-index"),
    )
)
SOURCES = frozenset(
    {".py", ".go", ".ts", ".mts", ".mjs", ".js", ".rs", ".html", ".css", ".sh", ".mk"}
)
GENERATED = frozenset({"node_modules", "target", "dist", "build", "Cargo.lock"})
UNFINISHED = re.compile(r"\b(?:T[O]DO|F[I]XME)\b")
MACHINE_PATH = re.compile(r"(?<![\w./$}>~-])/(?:work|root|home|Users|mnt)/[\w.-]")


def project_files() -> list[Path]:
    """Return every text file that is part of the project (without git: of the unpacked sdist)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        found = [ROOT / name for name in names if name]
    else:
        below = (path for top in SOURCE_ROOTS for path in (ROOT / top).rglob("*"))
        found = [*ROOT.glob("*"), *below]
    return [path for path in found if path.is_file() and b"\0" not in path.read_bytes()]


FILES = project_files()
MODULES = [path for path in FILES if path.suffix in SOURCES]


def offenders(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    found = []
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    return found


def test_the_search_sees_the_project() -> None:
    assert ROOT / "pyproject.toml" in FILES
    assert Path(__file__) in MODULES


def test_no_file_names_a_package_index_host() -> None:
    pattern = re.compile("|".join(re.escape(host) for host in INDEX_HOSTS))
    assert pattern.search("https://" + INDEX_HOSTS[0])
    assert offenders(pattern, FILES) == []


def test_no_file_names_an_absolute_path_of_one_machine() -> None:
    assert MACHINE_PATH.search("CD /WORK/MAIN".lower())
    assert offenders(MACHINE_PATH, FILES) == []


def test_nothing_that_tools_build_is_kept() -> None:
    kept = [path for path in FILES if GENERATED & set(path.relative_to(ROOT).parts)]
    assert kept == []


def test_nothing_is_left_unfinished() -> None:
    assert UNFINISHED.search("# todo: later".upper())
    assert offenders(UNFINISHED, MODULES) == []


def test_a_module_holds_one_idea_in_at_most_400_lines() -> None:
    # One test for all: as one for each they cost ten times what reading the files does.
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert lengths
    long = {path: lines for path, lines in lengths.items() if lines > MODULE_LINES_MAX}
    assert {str(path.relative_to(ROOT)): lines for path, lines in long.items()} == {}


@pytest.mark.parametrize("folder", NAMESPACE_FOLDERS)
def test_the_namespace_folders_hold_packages_and_no_init(folder: str) -> None:
    packages = [path for path in (ROOT / folder).iterdir() if path.name != "__pycache__"]
    assert packages
    assert [path.name for path in packages if not path.is_dir()] == []


def test_every_package_ships_its_types() -> None:
    packages = [
        path.parent
        for path in MODULES
        if path.name == "__init__.py" and path.parents[1].name == "fractal_lba"
    ]
    assert packages
    assert [str(path) for path in packages if not (path / "py.typed").is_file()] == []


def test_the_lock_holds_versions_and_hashes_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert "index" not in text.replace("sortedcontainers", "")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 30
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==[\w.]+", entry), entry.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]
