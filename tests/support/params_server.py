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


async def run(config: Path, params: Params, options: dict[str, str]) -> None:
    """Run until SIGTERM."""
    settings = load_settings(config, {}, options)
    configure(settings.log_level)
    server = Server(settings, config.parent, params=params)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.run(lambda url: print(json.dumps({"url": url}), flush=True))  # noqa: T201 - its stdout


def started_with(flags: list[str]) -> tuple[Path, dict[str, str]]:
    """Return the configuration and the settings that a command line names."""
    options = {
        name.removeprefix("--").replace("-", "_"): value
        for name, value in zip(flags[::2], flags[1::2], strict=True)
    }
    return Path(options.pop("config")).resolve(), options


if __name__ == "__main__":
    _version, _tolerance, *_flags = sys.argv[1:]
    _params = Params(version=_version, tol_d=float(_tolerance), tol_budget=float(_tolerance))
    _config, _options = started_with(_flags)
    uvloop.run(run(_config, _params, _options))
