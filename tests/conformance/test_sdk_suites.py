"""Each SDK's own tests, run by its own tools; what they ran is shown at the end of the run."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.sdk_drivers import PATH, SDK, SDKS, Driver, require

COMMANDS = {
    "go": ("go", "test", "-race", "-v", "-count=1", "./..."),
    "typescript": ("npm", "test", "--silent"),
    "rust": ("cargo", "test", "--release", "--locked", "--", "--nocapture"),
    "wasm": ("node", "--test"),
}
OTHERS = [name for name in SDKS if name in COMMANDS]
VECTORS = {path.name for path in (Path(__file__).parents[2] / "golden_vectors").glob("*.json")}
OFFICIAL = Path(__file__).parents[3] / "shared" / "vectors"
SERVERS_ONLY = {"http_exchanges.json"}
"""What nobody but a server can be asked."""

PROTOCOL_OPS = ("hello", "answer", "sign")
OPS = (
    (
        *PROTOCOL_OPS,
        *(f"client.{op}" for op in ("open", "submit", "batch", "get", "list")),
        *(
            f"outbox.{op}"
            for op in ("open", "append", "pending", "acknowledge", "damage", "ship", "close")
        ),
    ),
    PROTOCOL_OPS,
)
"""Of an SDK with a client, and of WebAssembly's, which has none."""

SUITE_TIMEOUT_S = 600
TOLD_OF_SUCCESS = re.compile(
    r"^\s*(=== (RUN|PAUSE|CONT|NAME)|--- PASS|✔|test .* \.\.\. ok).*\n", re.MULTILINE
)
"""Lines that would hide what failed among thousands."""
FILE_LINE = re.compile(r"(\w+\.json): ([\d,]+) cases\b")
CLOSING_LINE = re.compile(r"(\w+): ([\d,]+) files, ([\d,]+) cases, 0 (?:files )?failed\b")


def environment() -> dict[str, str]:
    """Return what the tools run in; the official vectors are required only where they are."""
    hidden = set() if OFFICIAL.is_dir() else {"FLBA_REQUIRE"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "PATH": PATH}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.starts_first
@pytest.mark.timeout(SUITE_TIMEOUT_S + 60)
def test_an_sdk_passes_its_own_tests(name: str, tell: Callable[[str, str], None]) -> None:
    require(name)
    done = subprocess.run(
        COMMANDS[name],
        cwd=SDK / name,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SUITE_TIMEOUT_S,
    )
    assert done.returncode == 0, TOLD_OF_SUCCESS.sub("", done.stdout)[-20_000:]
    files = {file: count for file, count in FILE_LINE.findall(done.stdout) if file in VECTORS}
    # A runner that has not said what it ran may have run nothing.
    assert files.keys() >= VECTORS - SERVERS_ONLY
    closing = CLOSING_LINE.search(done.stdout)
    assert closing is not None, done.stdout[-4_000:]
    tell(f"SDK vectors: {name}", closing[0])
    tell(f"SDK vectors: {name}", ", ".join(f"{file} {files[file]}" for file in sorted(files)))


@pytest.mark.parametrize("name", SDKS)
def test_a_driver_has_every_file_and_op(name: str) -> None:
    require(name)
    with Driver(name) as driver:
        hello = driver.ask("hello")
        assert hello["sdk"] == name
        assert hello["version"] == "0.1.0"
        assert set(hello["files"]) >= VECTORS - SERVERS_ONLY
        assert set(OPS[name == "wasm"]) <= set(hello["ops"])
        assert "unknown" in driver.ask("no.such.op")
