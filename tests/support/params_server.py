"""The real server under another parameter set: ``run`` with two arguments before its own.

::

    python -m tests.support.params_server VERSION TOLERANCE --config … --listen … [--setting VALUE]…
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

import uvloop

from fractal_lba.protocol.judge import Params
from fractal_lba.server.app import Server
from fractal_lba.server.config import load_settings
from fractal_lba.server.telemetry.logs import configure


def command(params: Params) -> list[str]:
    """Return what starts such a server; the parameter set's two tolerances must be the same."""
    assert params.tol_d == params.tol_budget
    return [
        sys.executable,
        "-m",
        "tests.support.params_server",
        params.version,
        repr(params.tol_d),
    ]


async def _run(config: Path, params: Params, options: dict[str, str]) -> None:
    settings = load_settings(config, {}, options)
    configure(settings.log_level)
    server = Server(settings, config.parent, params=params)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.run(lambda url: print(json.dumps({"url": url}), flush=True))  # noqa: T201 - its stdout


if __name__ == "__main__":
    _version, _tolerance, *_flags = sys.argv[1:]
    _options = {
        name.removeprefix("--").replace("-", "_"): value
        for name, value in zip(_flags[::2], _flags[1::2], strict=True)
    }
    _params = Params(version=_version, tol_d=float(_tolerance), tol_budget=float(_tolerance))
    uvloop.run(_run(Path(_options.pop("config")).resolve(), _params, _options))
