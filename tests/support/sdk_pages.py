"""The SDKs' example pages: built as users do it, and served beside a server that comes and goes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.support import chromium
from tests.support.page_server import PageServer
from tests.support.sdk_drivers import SDK, require
from tests.support.server_process import Folder, ServerProcess

BUILD_TIMEOUT_S: Final = 120.0
ROWS: Final = '[...document.querySelectorAll("#records tr")]'
READY: Final = 'document.body.dataset.ready === "true"'
NONE_WAITS: Final = 'document.getElementById("waiting").textContent === "0"'
_PNG: Final = b"\x89PNG\r\n\x1a\n"


def statuses(*expected: str) -> str:
    """Return whether the rows show these, in order, as the page's JavaScript."""
    shown = f'{ROWS}.map((row) => row.dataset.status).join(" ")'
    return f'{shown} === "{" ".join(expected)}"'


def built_page(name: str, folder: Path) -> Path:
    """Lay an SDK's example page out in a folder; its outbox is TypeScript's."""
    require("typescript", name)
    subprocess.run(
        ["node", "example/browser/build.mjs", str(folder)],  # noqa: S607 - as PATH has it
        cwd=SDK / name,
        check=True,
        timeout=BUILD_TIMEOUT_S,
    )
    return folder


@contextmanager
def served(page: Path, folder: Folder) -> Iterator[tuple[PageServer, str]]:
    """Serve a page; yield it, and where its server will listen once somebody starts one there."""
    if chromium.program() is None:
        pytest.skip("chromium is not installed")
    with ServerProcess(folder) as server:
        host, port = server.address
        server.stop()
    with PageServer(page, (host, port)) as site:
        yield site, f"{host}:{port}"


def keep_shots(shots: dict[str, bytes], folder: Path) -> None:
    """Write what a page showed, each of which must be a picture."""
    for name, shot in shots.items():
        assert shot.startswith(_PNG)
        (folder / name).write_bytes(shot)
