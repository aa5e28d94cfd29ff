"""The main job, from real data to a proof that nothing was lost: ``make demo``.

Two agents watch real input (this machine's live counters, and the texts the Python installation
carries), sign what they saw and ship it to a server, which is killed half way and started again on
the same folder. Then every window is counted in three independent places. Exit code 0 only if
nothing was lost, nothing was stored twice and the three agree.
"""

import argparse
import contextlib
import http.client
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from demo.processes import Agent, DemoError, Server, command_output, program
from demo.tally import Ledger, Tally, compare

from fractal_lba.command.interrupts import EXIT_INTERRUPTED

LIVE_ROWS: Final = 16
TEXT_BYTES: Final = 2048
TEXT_FILES_MAX: Final = 8
TEXT_BYTES_MAX: Final = 1_500_000
AGENT_SECONDS_MAX: Final = 120.0
HALF_WAY_SECONDS_MAX: Final = 90.0
POLL_SECONDS: Final = 0.05
GET_RETRIES_MAX: Final = 20


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(text, flush=True)


def installation_texts() -> list[Path]:
    """Return texts the running Python carries, the largest first.

    Distributions leave out different ones, so whatever is there is taken; the documentation topics
    and the licence are nearly always among them.

    Raises:
        DemoError: There is none.
    """
    library = Path(sysconfig.get_path("stdlib"))
    patterns = ("pydoc_data/topics.py", "*.txt", "idlelib/*.txt", "lib2to3/*.txt", "test/*.txt")
    found = {path for pattern in patterns for path in library.glob(pattern) if path.is_file()}
    sizes = {path: path.stat().st_size for path in found}
    chosen: list[Path] = []
    for path in sorted(found, key=lambda path: (-sizes[path], path)):
        total = sum(sizes[text] for text in chosen) + sizes[path]
        if sizes[path] >= TEXT_BYTES and total <= TEXT_BYTES_MAX and len(chosen) < TEXT_FILES_MAX:
            chosen.append(path)
    if not chosen:
        raise DemoError(f"{library}: expected a text of at least {TEXT_BYTES} bytes, got none")
    return chosen


def stored_so_far(url: str) -> int:
    """Return how many records the server says it accepted, from its metrics."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310 - our own URL
        text = answer.read().decode()
    return round(
        sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith("flk_accepted_total")
        )
    )


def await_half_way(url: str, expected: int, agents: list[Agent]) -> int:
    """Return the records decided once they are at least half of ``expected``.

    Raises:
        DemoError: An agent ended first, or it took too long.
    """
    ends = time.monotonic() + HALF_WAY_SECONDS_MAX
    while time.monotonic() < ends:
        stored = stored_so_far(url)
        if stored >= expected // 2:
            return stored
        if not any(agent.is_running for agent in agents):
            raise DemoError(f"the agents ended with {stored} of {expected} windows stored")
        time.sleep(POLL_SECONDS)
    raise DemoError(f"half of {expected} windows were not stored in {HALF_WAY_SECONDS_MAX:.0f} s")


def outbox_states(agents: list[Agent]) -> dict[str, str]:
    """Return pcs_id → state over all outboxes."""
    states: dict[str, str] = {}
    for agent in agents:
        states |= agent.states()
    return states


def await_waiting_windows(agents: list[Agent]) -> Counter[str]:
    """Return the outbox's counts while the server is down: some acknowledged, some waiting.

    Raises:
        DemoError: The kill did not come half way.
    """
    ends = time.monotonic() + HALF_WAY_SECONDS_MAX
    while time.monotonic() < ends:
        counts = Counter(outbox_states(agents).values())
        if counts["acknowledged"] and counts["pending"]:
            return counts
        time.sleep(POLL_SECONDS)
    raise DemoError(
        "the server was not killed half way: nothing was acknowledged, or nothing waits"
    )


def readable_ids(url: str, token: str, ids: list[str]) -> dict[str, str]:
    """Ask for each id and return id → the pcs_id inside the record that came back.

    Raises:
        DemoError: An answer was neither ``200`` nor ``404``.
    """
    address = urlsplit(url)
    readable = {}
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    with contextlib.closing(connection):
        for pcs_id in ids:
            status, body = _get(connection, f"/v1/pcs/{pcs_id}", token)
            if status == http.client.OK:
                readable[pcs_id] = str(json.loads(body)["record"]["pcs_id"])
            elif status != http.client.NOT_FOUND:
                raise DemoError(f"GET of {pcs_id}: expected 200 or 404, got {status}")
    return readable


def _get(connection: http.client.HTTPConnection, path: str, token: str) -> tuple[int, bytes]:
    status, body = 0, b""
    for _ in range(GET_RETRIES_MAX):
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
        if status != http.client.TOO_MANY_REQUESTS:
            break
        time.sleep(float(answer.headers.get("Retry-After", "1")))
    return status, body


def check_files(config: Path) -> Ledger:
    """Let ``fsck`` read everything the stopped server left."""
    output = command_output(
        program("fractal-server"), "fsck", "--config", str(config), codes=(0, 1)
    )
    found = json.loads(output)
    is_sound = not found["damage"] and not found["problems"] and found["undecided_inbox"] == 0
    return Ledger(records=found["records"], stored_twice=found["stored_twice"], is_sound=is_sound)


def show(tally: Tally, reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the closing report."""
    regimes: Counter[str] = Counter()
    for report in reports.values():
        regimes.update(report["regimes"])
    repeats = sum(report["repeats"] for report in reports.values())
    slowest = max(report["slowest_answer_ms"] for report in reports.values())
    rows = {
        "windows observed": tally.windows,
        "acknowledged  (agents' outboxes)": tally.acknowledged,
        "stored        (fsck of the files)": tally.stored,
        "readable      (GET of every id)": tally.readable,
        "repeats answered again": repeats,
        "lost": (tally.lost and len(tally.lost)) or 0,
        "stored twice": tally.stored_twice,
        "regimes": ", ".join(f"{name} {count}" for name, count in sorted(regimes.items()) if count),
        "slowest answer": f"{slowest:.0f} ms (the time the server was down is in it)",
    }
    say("\nReport")
    for label, value in rows.items():
        say(f"  {label + ':':<36}{value}")
    for line in tally.disagreements:
        say(f"  DISAGREEMENT: {line}")
    for pcs_id in tally.lost:
        say(f"  LOST: {pcs_id}")


def run(folder: Path, live_seconds: float) -> Tally:
    """Do the whole job in an empty folder and return the count."""
    config, log = folder / "server.toml", folder / "server.log"
    say("1. fractal-server init: settings, keys, a read token and an empty data folder")
    command_output(program("fractal-server"), "init", str(folder))
    agents: list[Agent] = []
    server: Server | None = None
    try:
        server = Server(config, log, listen="127.0.0.1:0")
        say(f"2. fractal-server run: answering at {server.url}")
        address = urlsplit(server.url).netloc
        texts = installation_texts()
        expected = sum(path.stat().st_size // TEXT_BYTES for path in texts)
        common = ["--url", server.url, "--keyring", str(folder / "agent-keyring.json")]
        points = ["live:", "--profile", "points/1", "--window", str(LIVE_ROWS)]
        text = [*map(str, texts), "--profile", "bytes/1", "--window", str(TEXT_BYTES)]
        agents.append(Agent("live", folder, [*points, "--duration", str(live_seconds), *common]))
        agents.append(Agent("texts", folder, [*text, *common]))
        say(
            f"3. agents: {live_seconds:g} s of this machine's counters (points/1); texts (bytes/1):"
        )
        for path in texts:
            say(f"     {path} ({path.stat().st_size:,} bytes)")

        stored = await_half_way(server.url, expected, agents)
        say(f"4. half way, {stored} records decided: SIGKILL to the server, process {server.pid}")
        server.kill()
        counts = await_waiting_windows(agents)
        say(
            f"   the server is gone; in the outboxes: {counts['acknowledged']} acknowledged, "
            f"{counts['pending']} waiting"
        )
        server = Server(config, log, listen=address)
        say("5. a new server on the same folder; the agents go on where they were")
        reports = {agent.name: agent.report(AGENT_SECONDS_MAX) for agent in agents}

        states = outbox_states(agents)
        say(f"6. the agents are done; GET of each of the {len(states)} ids")
        token = (folder / "token").read_text(encoding="utf-8").strip()
        readable = readable_ids(server.url, token, sorted(states))
        server.stop()
        say("7. fractal-server stopped on SIGTERM; fsck reads its files")
        tally = compare(states, readable, check_files(config))
        show(tally, reports)
        return tally
    finally:
        for agent in agents:
            agent.stop()
        if server is not None:
            server.kill()


def main() -> int:
    """Run the demo; the exit code says whether it showed what it claims."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m demo.main_job")
    parser.add_argument("--live-seconds", type=float, default=10.0, help="default: 10")
    parser.add_argument("--folder", type=Path, help="an empty folder to use, and to keep")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="fractal-lba-demo-"))
    say(f"Fractal LBA demo, in {folder}")
    try:
        tally = run(folder, arguments.live_seconds)
    except KeyboardInterrupt:
        if arguments.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
        say("\ninterrupted")
        return EXIT_INTERRUPTED
    except (DemoError, OSError, http.client.HTTPException, subprocess.TimeoutExpired) as error:
        say(f"\nFAIL: {type(error).__name__}: {error}\nEverything is still in {folder}")
        return 1
    if not tally.is_sound:
        say(f"\nFAIL: the three counts above do not prove it. Everything is still in {folder}")
        return 1
    if arguments.folder is None:
        shutil.rmtree(folder)
    say("\nPASS: every window is there, exactly once.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
