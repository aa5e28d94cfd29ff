"""WebAssembly in a real browser, unbundled: signed offline, shipped when the server is back."""

import asyncio
import base64
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
from tests.support import chromium
from tests.support.chromium import Chromium
from tests.support.page_server import PageServer
from tests.support.sdk_drivers import SDK, lacking
from tests.support.server_process import Folder, ServerProcess, until_ready
from tests.support.signed import ACME, ACME_NEXT, Signer

BUILD_TIMEOUT_S: Final = 120.0
PNG: Final = b"\x89PNG\r\n\x1a\n"
READY: Final = 'document.body.dataset.ready === "true"'
ROWS: Final = '[...document.querySelectorAll("#records tr")]'
NONE_WAITS: Final = 'document.getElementById("waiting").textContent === "0"'


def sign(signer: Signer) -> str:
    secret = base64.b64encode(signer.secret).decode()
    given = {"kid": signer.kid, "alg": str(signer.alg), "secret": secret}
    filled = ";".join(
        f'document.getElementById("{name}").value = "{value}"' for name, value in given.items()
    )
    return f'{filled}; document.querySelector("button").click()'


def statuses(*expected: str) -> str:
    shown = f'{ROWS}.map((row) => row.dataset.status).join(" ")'
    return f'{shown} === "{" ".join(expected)}"'


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Return a folder with the page: the module and its loader as they are published."""
    for name in ("typescript", "wasm"):
        if (reason := lacking(name)) is not None:
            pytest.skip(reason)
    folder = tmp_path / "page"
    subprocess.run(
        ["node", "example/browser/build.mjs", str(folder)],  # noqa: S607 - as PATH has it
        cwd=SDK / "wasm",
        check=True,
        timeout=BUILD_TIMEOUT_S,
    )
    for name in ("index.js", "dist/fractal_lba.wasm"):
        assert (folder / "wasm" / name).read_bytes() == (SDK / "wasm" / name).read_bytes()
    return folder


@pytest.mark.timeout(600)
def test_a_page_signs_with_the_module_while_the_server_is_away_and_shows_the_answers(
    page: Path, folder: Folder, tmp_path: Path
) -> None:
    if chromium.program() is None:
        pytest.skip("chromium is not installed")
    with ServerProcess(folder) as server:
        host, port = server.address
        server.stop()
    with PageServer(page, (host, port)) as site:
        shots = asyncio.run(scene(site, folder, f"{host}:{port}"))
    for name, shot in shots.items():
        assert shot.startswith(PNG)
        (tmp_path / name).write_bytes(shot)


async def scene(site: PageServer, folder: Folder, listen: str) -> dict[str, bytes]:
    """Do what the test is called, and return what the page showed on the way."""
    shots: dict[str, bytes] = {}
    async with Chromium() as browser:
        await browser.open(site.url)
        await browser.until(READY)
        await browser.run(sign(ACME))
        await browser.until(statuses("waiting"))
        await browser.run(sign(ACME_NEXT))
        await browser.until(statuses("waiting", "waiting"))
        signed = await browser.run(f"{ROWS}.map((row) => row.dataset.pcsId)")
        assert len(set(signed)) == 2

        # What waits outlives the page and is read back by the module.
        await browser.open("about:blank")
        await browser.open(site.url)
        await browser.until(f"{READY} && {statuses('waiting', 'waiting')}")
        assert await browser.run(f"{ROWS}.map((row) => row.dataset.pcsId)") == signed
        shots["wasm-away.png"] = await browser.screenshot()

        with ServerProcess(folder, "--listen", listen) as server:
            until_ready(server)
            await browser.until(f"{statuses('200', '200')} && {NONE_WAITS}")
            shots["wasm-answered.png"] = await browser.screenshot()
            shown = await browser.run(f"{ROWS}.map((row) => row.lastChild.textContent)")
            assert shown == ["200 accepted"] * 2
            for pcs_id, signer in zip(signed, (ACME, ACME_NEXT), strict=True):
                read = server.get(pcs_id)
                assert (read.status, read.json["record"]["kid"]) == (200, signer.kid)

            # A short secret makes no signer: the page says so and keeps nothing.
            await browser.run(sign(Signer("acme", "acme-1", b"short")))
            await browser.until('document.getElementById("problem").textContent !== ""')
            said = await browser.run('document.getElementById("problem").textContent')
            assert said.startswith("keys[0]")
            assert await browser.run(f"{ROWS}.length") == 2
            server.stop()
        # While the server was away it answered 502; nothing was thrown.
        assert [said for said in browser.problems if not re.search(r"\b502\b", said)] == []
    return shots
