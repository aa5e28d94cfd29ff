"""The TypeScript SDK in a real browser: signed offline, shipped when the server is back, shown."""

import asyncio
import base64
import re
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
from tests.support.chromium import Chromium
from tests.support.page_server import PageServer
from tests.support.sdk_drivers import SDK
from tests.support.sdk_pages import (
    BUILD_TIMEOUT_S,
    NONE_WAITS,
    READY,
    ROWS,
    built_page,
    keep_shots,
    served,
    statuses,
)
from tests.support.server_process import Folder, ServerProcess, until_ready
from tests.support.signed import ACME_NEXT, Signer, body

PACKAGE: Final = SDK / "typescript"
RECORDS: Final = 2

SIGN: Final = f"""(() => {{
  document.getElementById("seed").value = "{ACME_NEXT.secret.hex()}";
  document.getElementById("kid").value = "{ACME_NEXT.kid}";
  document.querySelector("button").click();
}})()"""
PRESS: Final = """[...document.querySelectorAll("td button")].find(
  (button) => button.textContent === "{}").click()"""
AWAY: Final = 'document.getElementById("server").textContent === "away"'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the bundled example page."""
    return built_page("typescript", tmp_path_factory.mktemp("page"))


@pytest.mark.timeout(600)
def test_a_page_signs_while_the_server_is_away_and_shows_the_answer_when_it_is_back(
    page: Path, folder: Folder, tmp_path: Path
) -> None:
    with served(page, folder) as (site, listen):
        keep_shots(asyncio.run(scene(site, folder, listen)), tmp_path)


LIBRARY: Final = """
export { Outbox } from "fractal-lba/outbox/browser";
export { Client } from "fractal-lba/client";
export const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
export const name = (error) => error.name;
"""


@pytest.mark.timeout(600)
def test_an_outbox_in_a_page_keeps_its_bounds_its_numbers_and_what_nobody_took(
    page: Path, folder: Folder
) -> None:
    subprocess.run(
        [
            str(PACKAGE / "node_modules/.bin/esbuild"),
            "--bundle",
            "--format=esm",
            f"--outfile={page / 'library.js'}",
        ],
        cwd=PACKAGE,
        input=LIBRARY.encode(),
        check=True,
        timeout=BUILD_TIMEOUT_S,
    )
    with served(page, folder) as (site, listen):
        asyncio.run(outbox_in_a_page(site, folder, listen))


async def outbox_in_a_page(site: PageServer, folder: Folder, listen: str) -> None:
    first, second, third = (base64.b64encode(body(epoch)).decode() for epoch in range(3))
    async with Chromium() as browser:

        async def opened() -> None:
            await browser.open(site.url)
            await browser.until(READY)
            await browser.run('import("/library.js").then((all) => { window.lba = all; })')
            await browser.run(
                'lba.Outbox.open({name: "b", recordsMax: 2}).then((box) => { window.box = box; })'
            )

        async def append(*records: str) -> object:
            texts = ",".join(f'lba.bytes("{each}")' for each in records)
            return await browser.run(f"box.appendAll([{texts}]).catch(lba.name)")

        await opened()
        assert await append(base64.b64encode(b"{}").decode()) == "Refusal"
        assert await append(first, second, third) == "UnavailableError"
        assert await browser.run("box.pendingCount()") == 0
        assert await append(first, second) == [1, 2]
        assert await append(third) == "UnavailableError"
        await browser.run("box.acknowledge(2)")
        await browser.run("box.acknowledge(2)")
        await opened()
        assert await browser.run("box.waiting()") == [1]
        # The number of what was answered is not given again.
        assert await append(third) == [3]

        # An hour until the next attempt, but for the browser's word that there is a network again.
        await browser.run(
            """window.stop = new AbortController();
            window.told = [];
            const noted = (...asked) => fetch(...asked).finally(() => {
              document.body.dataset.asked = "true";
            });
            const client = new lba.Client(location.origin, {fetch: noted, random: () => 0.5,
              retry: {waitFirstS: 7200, waitMaxS: 7200}});
            window.ended = box.keepShipping(client, {signal: stop.signal, inFlight: 1,
              onAnswer: ({seq, answer}) => {
                told.push([seq, answer.status]);
                document.body.dataset.told = String(told.length);
                if (seq === 3) throw new Error("no room for it");
              }}).catch((error) => error.message);
            true"""
        )
        await browser.until('document.body.dataset.asked === "true"')
        with ServerProcess(folder, "--listen", listen) as server:
            until_ready(server)
            await browser.run('window.dispatchEvent(new Event("online"))')
            await browser.until('document.body.dataset.told === "2"')
            assert await browser.run("told") == [[1, 200], [3, 200]]
            assert await browser.run("ended") == "no room for it"
            assert await browser.run("box.waiting()") == [3]
            await browser.run("box.acknowledge(3)")
            await refused_in_a_page(browser, opened, append)
            server.stop()


async def refused_in_a_page(
    browser: Chromium,
    opened: Callable[[], Awaitable[None]],
    append: Callable[..., Awaitable[object]],
) -> None:
    """What is not accepted stays, is sent again and is dropped; at the end nothing is left."""
    stranger = Signer("acme", "nobody-1", b"x" * 32)
    first, second, third = (
        base64.b64encode(body(epoch, signer=stranger)).decode() for epoch in range(3)
    )
    refused = """(async () => {
      const found = [];
      for await (const each of box.refused())
        found.push([each.seq, each.status, each.code, each.epoch]);
      return found;
    })()"""
    ship = "box.ship(new lba.Client(location.origin), {onAnswer}).then((all) => all.length)"

    # It is there before its record leaves, and before anybody is told.
    assert await append(first) == [4]
    await browser.run('window.onAnswer = () => { throw new Error("told"); }; true')
    assert await browser.run(f"{ship}.catch((error) => error.message)") == "told"
    assert await browser.run("box.waiting()") == [4]
    assert await browser.run(refused) == [[4, 401, "unknown_key", 0]]
    await opened()
    await browser.run("window.onAnswer = undefined; true")
    assert await browser.run(ship) == 1
    assert await browser.run(refused) == [[4, 401, "unknown_key", 0]]

    assert await append(second) == [5]
    assert await browser.run(ship) == 1
    # As many as may be kept: what was not accepted counts.
    assert await append(third) == "UnavailableError"
    assert await browser.run("box.retry([5, 4, 99])") == [6, 7]
    assert await browser.run("Promise.all([box.refusedCount(), box.pendingCount()])") == [0, 2]
    assert await browser.run(ship) == 2
    assert [each[0] for each in await browser.run(refused)] == [6, 7]
    await browser.run("box.drop([6, 7, 99])")
    assert await browser.run("Promise.all([box.refusedCount(), box.pendingCount()])") == [0, 0]
    bytes_left = """new Promise((resolve) => {
      const opening = indexedDB.open("b");
      opening.onsuccess = () => {
        const state = opening.result.transaction("state").objectStore("state").get("bytes");
        state.onsuccess = () => { opening.result.close(); resolve(state.result); };
      };
    })"""
    assert await browser.run(bytes_left) == 0


async def scene(site: PageServer, folder: Folder, listen: str) -> dict[str, bytes]:
    """Do what the test is called, and return what the page showed on the way."""
    shots: dict[str, bytes] = {}
    async with Chromium() as browser:
        await browser.open(site.url)
        await browser.until(f"{READY} && {AWAY}")
        for count in range(1, RECORDS + 1):
            await browser.run(SIGN)
            await browser.until(statuses(*["waiting"] * count))
        signed = await browser.run(f"{ROWS}.map((row) => row.dataset.pcsId)")
        assert len(set(signed)) == RECORDS

        # The page is gone, and comes back while the server is still away.
        await browser.open("about:blank")
        await browser.open(site.url)
        await browser.until(f"{READY} && {AWAY} && {statuses(*['waiting'] * RECORDS)}")
        assert await browser.run(f"{ROWS}.map((row) => row.dataset.pcsId)") == signed
        shots["away.png"] = await browser.screenshot()
        assert await browser.run("indexedDB.databases().then((all) => all.length)") == 1

        with ServerProcess(folder, "--listen", listen) as server:
            until_ready(server)
            await browser.until(statuses(*["200"] * RECORDS))
            await browser.until(NONE_WAITS)
            await browser.until('document.getElementById("server").textContent === "ready"')
            shots["answered.png"] = await browser.screenshot()
            shown = await browser.run(f"{ROWS}.map((row) => row.lastChild.textContent)")
            assert shown == ["200 accepted"] * RECORDS
            for pcs_id in signed:
                read = server.get(pcs_id)
                assert read.status == 200
                assert read.json["record"]["kid"] == ACME_NEXT.kid

            # What was answered is sent no more, by a page that is opened again either.
            sent = site.sent
            await browser.open(site.url)
            await browser.until(READY)
            assert await browser.run(f"{ROWS}.length") == 0
            assert site.sent == sent

            # What is not accepted stays, over a reload too, until it is dropped.
            await browser.run(SIGN.replace(ACME_NEXT.kid, "nobody-1"))
            await browser.until(statuses("401"))
            await browser.open(site.url)
            # Where the page was left before its record, it is sent once more first.
            await browser.until(f"{READY} && {statuses('401')} && {NONE_WAITS}")
            shots["refused.png"] = await browser.screenshot()
            await browser.run(PRESS.format("Send again"))
            await browser.until(f"{ROWS}.some((row) => row.firstChild.textContent === '4')")
            await browser.until(statuses("401"))
            await browser.run(PRESS.format("Drop"))
            await browser.until(f"{ROWS}.length === 0")
            server.stop()
        # 502, 401 and what a dead socket says are the network's; nothing was thrown.
        thrown = [said for said in browser.problems if not re.search(r"\b(502|401)\b", said)]
        assert thrown == []
    return shots
