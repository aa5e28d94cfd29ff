"""WebAssembly in a real browser, unbundled: signed offline, shipped when the server is back."""

import asyncio
import base64
import re
from pathlib import Path

import pytest
from tests.support.chromium import Chromium
from tests.support.page_server import PageServer
from tests.support.sdk_drivers import SDK
from tests.support.sdk_pages import (
    NONE_WAITS,
    READY,
    ROWS,
    built_page,
    keep_shots,
    served,
    statuses,
)
from tests.support.server_process import Folder, ServerProcess, until_ready
from tests.support.signed import ACME, ACME_NEXT, Signer


def sign(signer: Signer) -> str:
    secret = base64.b64encode(signer.secret).decode()
    given = {"kid": signer.kid, "alg": str(signer.alg), "secret": secret}
    filled = ";".join(
        f'document.getElementById("{name}").value = "{value}"' for name, value in given.items()
    )
    return f'{filled}; document.querySelector("button").click()'


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Return a folder with the page: the module and its loader as they are published."""
    folder = built_page("wasm", tmp_path / "page")
    for name in ("index.js", "dist/fractal_lba.wasm"):
        assert (folder / "wasm" / name).read_bytes() == (SDK / "wasm" / name).read_bytes()
    return folder


@pytest.mark.timeout(600)
def test_a_page_signs_with_the_module_while_the_server_is_away_and_shows_the_answers(
    page: Path, folder: Folder, tmp_path: Path
) -> None:
    with served(page, folder) as (site, listen):
        keep_shots(asyncio.run(scene(site, folder, listen)), tmp_path)


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
