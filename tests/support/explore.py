"""schemathesis against a real server: the command, and what it may be answered.

``python -m tests.support.explore`` is the long run of ``make nightly``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import ACME, GLOBEX

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = Path(sys.executable).with_name("schemathesis")
SEED: Final = 20_261_121
NIGHTLY_EXAMPLES: Final = 2_000
NIGHTLY_SECONDS: Final = 1_200
# No generated request may meet a rate; 0 is no limit.
RATES: Final = ("address-rate-per-s", "unidentified-rate-per-s", "unidentified-bytes-per-s")
FLAGS: Final = tuple(word for name in RATES for word in (f"--{name}", "0"))
TOKEN: Final = "token-of-acme-for-everything"  # noqa: S105 - of a server that lives for one test
SECONDS_MAX: Final = 180

# Every check is on. Three of them have a list of statuses they expect, and theirs is not ours:
# - what is right by its schema may still be refused, since no schema can say that an id is a hash,
#   that a signature is real, that a caller has a scope, or that an id is not taken;
# - what is wrong is refused, but a path that is none is 404, and so is a version nobody knows;
# - a header that is left out is Content-Type (415), Authorization, or one that is optional.
CONFIG: Final = f"""
hooks = {msgspec.json.encode(str(ROOT / "tests/support/schemathesis_hooks.py")).decode()}

[checks]
positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 410, 415, 422]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 415]
missing_required_header.expected-statuses = [400, 401, 403, 404, 415]
"""


def folder_of(path: Path) -> Folder:
    """Return a server's folder with a token that may do everything."""
    folder = Folder(path)
    token = {
        "tenant": "acme",
        "sha256": sha256(TOKEN.encode()).hexdigest(),
        "scopes": ["submit", "read", "operate"],
    }
    ring = {"keys": [ACME.entry(), GLOBEX.entry()], "tokens": [token]}
    (path / "keyring.json").write_bytes(msgspec.json.encode(ring))
    return folder


def explored(
    server: ServerProcess, folder: Path, *more: str, token: str | None
) -> subprocess.CompletedProcess[str]:
    """Let schemathesis ask what it makes up; it exits 1 where it finds something."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG, encoding="utf-8")
    identity = () if token is None else ("-H", f"Authorization: Bearer {token}")
    return subprocess.run(
        [
            COMMAND, "--config-file", config, "run", f"{server.url}/openapi.json",
            "--checks", "all", "--no-color", "--warnings", "off", *identity, *more,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=None if "--max-time" in more else SECONDS_MAX,
    )  # fmt: skip


def main() -> int:
    """Run as both callers for long; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.explore",
        description="Let schemathesis ask a server what it makes up; exit 1 at a fault.",
    )
    parser.add_argument("--seconds", type=int, default=NIGHTLY_SECONDS, help="for each caller")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    code = 0
    with tempfile.TemporaryDirectory() as path:
        folder = folder_of(Path(path) / "folder")
        with ServerProcess(folder, *FLAGS) as server:
            for token in (TOKEN, None):
                done = explored(
                    server,
                    Path(path),
                    *("--max-examples", str(NIGHTLY_EXAMPLES), "--seed", str(given.seed)),
                    *("--max-time", str(given.seconds)),
                    token=token,
                )
                print(done.stdout, done.stderr, flush=True)  # noqa: T201 - a command's output
                code = code or done.returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
