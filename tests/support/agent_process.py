"""The real ``fractal-agent``: started, interrupted, killed and asked as a shell would."""

import asyncio
import base64
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.signed import ACME_NEXT, Signer

from fractal_lba.keyfile import write_private

ENDS_S_MAX = 60.0


@dataclass
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.out)
        return report


class AgentRig:
    """A folder with a keyring, three sources, and the agents started in it."""

    def __init__(self, folder: Path, signer: Signer = ACME_NEXT) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.keyring = folder / "keyring.json"
        self.secret = base64.b64encode(signer.secret).decode()
        entry = signer.entry() | {"secret": f"base64:{self.secret}"}
        write_private(self.keyring, json.dumps({"keys": [entry], "tokens": []}).encode())
        rows = "".join(f"{at},{(at * at) % 101}\n" for at in range(400))
        (folder / "x.csv").write_text("a,b\n" + rows, encoding="utf-8")
        np.save(folder / "y.npy", np.arange(150.0).reshape(50, 3) ** 1.5)
        (folder / "z.txt").write_bytes(bytes((at * at) % 251 for at in range(500)))

    @contextlib.asynccontextmanager
    async def agent(
        self,
        url: str,
        *arguments: str,
        data: Path | None = None,
        before_exec: Callable[[], None] | None = None,
        piped: bytes | None = None,
        is_piped_open: bool = False,
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        has_input = piped is not None or is_piped_open
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fractal_lba.agent", "run", *arguments, "--json",
            "--data", str(data or self.data), "--url", url, "--keyring", str(self.keyring),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=self.folder,
            preexec_fn=before_exec, stdin=asyncio.subprocess.PIPE if has_input else None,
        )  # fmt: skip
        if piped is not None:
            assert process.stdin is not None
            process.stdin.write(piped)
            process.stdin.close()
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def run(self, url: str, *arguments: str, **settings: Any) -> Ended:  # noqa: ANN401
        async with self.agent(url, *arguments, **settings) as process:
            return await ended(process)

    async def status(self, *arguments: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fractal_lba.agent", "status", *arguments,
            "--data", str(self.data),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return await ended(process)


async def ended(process: asyncio.subprocess.Process) -> Ended:
    async with asyncio.timeout(ENDS_S_MAX):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
