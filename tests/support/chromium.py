"""A real headless Chromium, driven over its own debugging protocol."""

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, Self

import aiohttp

TIMEOUT_S: Final = 120.0
"""For one thing to happen in a page: a loaded machine starts a browser in half a minute."""

# Not a sandbox's test, and nothing of it reaches beyond this machine.
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--window-size=1000,700",
)
_LISTENING: Final = b"DevTools listening on "

# What a page shows is waited for as it changes, and looked at once more where it changed before.
_UNTIL: Final = """new Promise((resolve) => {
  const look = () => { if (%s) { watch.disconnect(); resolve(true); } };
  const watch = new MutationObserver(look);
  const all = { attributes: true, characterData: true, childList: true, subtree: true };
  watch.observe(document, all);
  look();
})"""


def program() -> str | None:
    """Return the browser of this machine."""
    return shutil.which("chromium")


class PageError(AssertionError):
    """A page threw, or never showed what it should."""


class Chromium:
    """One browser with one page; an async context manager.

    Attributes:
        problems: What the page's console and its uncaught errors said.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self._undo = AsyncExitStack()

    async def __aenter__(self) -> Self:
        found = program()
        assert found is not None
        # A group of its own: its helpers end with it.
        self._process = await asyncio.create_subprocess_exec(
            found,
            *FLAGS,
            f"--user-data-dir={self._profile.name}",
            "about:blank",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._connect()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._undo.aclose()
        finally:
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
            self._profile.cleanup()

    async def open(self, url: str) -> None:
        """Load a page, and return when it has loaded."""
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        async with asyncio.timeout(TIMEOUT_S):
            await self._loaded.wait()

    async def run(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page says
        """Return what JavaScript comes to in the page, promises awaited."""
        said = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in said:
            raise PageError(f"{expression}: {said['exceptionDetails']}")
        return said["result"].get("value")

    async def until(self, condition: str) -> None:
        """Return once a condition holds in the page."""
        try:
            await self.run(_UNTIL % condition)
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise PageError(f"never: {condition}; page: {text}; said: {self.problems}") from None

    async def screenshot(self) -> bytes:
        """Return what the page shows as a PNG file."""
        said = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(said["data"])

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call the page's debugging protocol and return the result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(TIMEOUT_S):
            said = await answer
        if "error" in said:
            raise PageError(f"{method}: {said['error']}")
        result: dict[str, Any] = said["result"]
        return result

    async def _connect(self) -> None:
        said = self._process.stderr
        assert said is not None
        while not (line := await said.readline()).startswith(_LISTENING):
            if not line:
                raise PageError(f"chromium ended, code {await self._process.wait()}")
        host = line.removeprefix(_LISTENING).decode().split("/")[2]
        self._begin(_drain(said))
        session = await self._undo.enter_async_context(aiohttp.ClientSession())
        async with session.get(f"http://{host}/json/list") as answer:
            pages = [each for each in await answer.json() if each["type"] == "page"]
        self._socket = await self._undo.enter_async_context(
            session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
        )
        self._begin(self._read())
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        """Do something beside the test until the browser ends."""
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            await asyncio.wait([task])

        self._undo.push_async_callback(end)

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if (answer := self._answers.pop(said.get("id"), None)) is not None:
                if not answer.cancelled():
                    answer.set_result(said)
            elif said.get("method") == "Page.loadEventFired":
                self._loaded.set()
            elif said.get("method") == "Runtime.exceptionThrown":
                self.problems.append(str(said["params"]["exceptionDetails"]))
            elif said.get("method") == "Log.entryAdded":
                self.problems.append(said["params"]["entry"]["text"])


async def _drain(said: asyncio.StreamReader) -> None:
    while await said.read(1 << 16):
        pass
