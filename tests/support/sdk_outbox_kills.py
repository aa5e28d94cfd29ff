"""Kill the SDKs' outboxes in turn over one folder: ``python -m tests.support.sdk_outbox_kills``.

A driver opens what the one before it left, reads everything back, appends, acknowledges, rotates,
compacts, closes and opens again, until it is killed with SIGKILL at a random moment of that. Which
SDK comes next is random, the Python agent's outbox among them. Each opening is held to everything
that was ever acknowledged (`tests/support/sdk_outbox_truth.py`).
"""

import argparse
import base64
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.support.memory import folder_in_memory
from tests.support.sdk_drivers import ANSWER_TIMEOUT_S, Driver, available
from tests.support.sdk_outbox_truth import Truth
from tests.support.signed import body

NIGHTLY: Final = 2_000
OUTBOXES: Final = ("python", "go", "typescript", "rust")
WEIGHTS: Final = {"python": 1, "go": 6, "typescript": 3, "rust": 6}
"""Python's driver takes as long to start as ten of the others."""

SEGMENT_BYTES: Final = 4 << 20
"""The smallest segments that each takes, so that some rotate."""
DELAY_MAX_S: Final = 0.02
"""Of a kill behind an answer: as long as an opening takes on a loaded machine."""

_MOSTLY_ANSWERED: Final = 0.8
_LARGE: Final = {f"note.{at}": "\x01" * 256 for at in range(16)}
"""What makes a record of 24 KiB, as each of these is written in six."""

Request = dict[str, Any]


class Run:
    """One folder, and the drivers that are killed over it.

    Attributes:
        ended: In which request each was killed, or that it was through.
        answers: How many each kind of request got.
        turns: How often each SDK worked.
    """

    def __init__(self, folder: Path, seed: int, *, appends: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)  # noqa: S311 - printed, to be run again
        self._appends = appends
        self._truth = Truth()
        self._epoch = 0
        self.ended: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.turns: Counter[str] = Counter()

    @property
    def kills(self) -> int:
        """How many were killed before they were through."""
        return self.ended.total() - self.ended["through"]

    @property
    def waiting(self) -> int:
        """How many windows must wait."""
        return len(self._truth.waiting)

    @property
    def given(self) -> int:
        """How many windows got a number."""
        return len(self._truth.given)

    def turn(self, name: str) -> None:
        """Let one driver work until it is killed, or is through."""
        self.turns[name] += 1
        script = self._script()
        lines = [json.dumps(each).encode() for each in script]
        after = self._chance.randrange(len(lines))
        answers = _killed(name, lines, after, self._chance.uniform(0, DELAY_MAX_S))
        for request, said in zip(script, answers, strict=False):
            self._note(name, request, said)
        rest = script[len(answers) :]
        for request in rest:  # a driver may be ahead of what it got rid of through its pipe
            self._doubt(request)
        self.ended[rest[0]["op"].removeprefix("outbox.") if rest else "through"] += 1

    def _script(self) -> list[Request]:
        chance = self._chance
        opening: list[Request] = [
            {
                "op": "outbox.open",
                "folder": str(self._folder),
                "segment_bytes_max": SEGMENT_BYTES,
            },
            {"op": "outbox.pending"},
            {"op": "outbox.damage"},
        ]
        known = [seq for seq in self._truth.numbers if chance.random() < _MOSTLY_ANSWERED]
        work: list[Request] = [
            {"op": "outbox.acknowledge", "seq": seq, "status": status, "replayed": False}
            for seq, status in zip(
                known, chance.choices((200, 202, 422), k=len(known)), strict=True
            )
        ]
        work += [self._append() for _ in range(chance.randrange(1, self._appends))]
        chance.shuffle(work)
        at = chance.randrange(len(work) + 1)
        closing: list[Request] = [{"op": "outbox.close"}]
        return [*opening, *work[:at], *closing, *opening, *work[at:], *closing]

    def _append(self) -> Request:
        bodies = []
        is_large = self._chance.random() < 0.5
        for _ in range(self._chance.randrange(1, 12)):
            self._epoch += 1
            bodies.append(body(self._epoch, meta=_LARGE) if is_large else body(self._epoch))
        texts = [base64.b64encode(each).decode() for each in bodies]
        return {"op": "outbox.append", "source": "api:", "bodies": texts}

    def _doubt(self, request: Request) -> None:
        """Note what a driver may have done before it was killed."""
        if request["op"] == "outbox.append":
            self._truth.asked(_bodies(request))
        elif request["op"] == "outbox.acknowledge":
            self._truth.answered(request["seq"])

    def _note(self, name: str, request: Request, said: dict[str, Any]) -> None:
        self.answers[request["op"]] += 1
        truth = self._truth
        assert not said.keys() & {"crash", "error", "unknown"}, f"{name}: {request['op']}: {said}"
        match request["op"]:
            case "outbox.append":
                truth.appended(said["seqs"], _bodies(request))
            case "outbox.acknowledge":
                truth.answered(request["seq"])
            case "outbox.close":
                truth.closed()
            case "outbox.pending":
                windows = {each["seq"]: each["body"] for each in said["windows"]}
                truth.hold({seq: base64.b64decode(text) for seq, text in windows.items()}, name)
            case "outbox.damage":
                assert said == {"damage": [], "lost": 0}, f"{name}: {said}"


def _bodies(request: Request) -> list[bytes]:
    return [base64.b64decode(each) for each in request["bodies"]]


def _killed(name: str, lines: Sequence[bytes], after: int, delay_s: float) -> list[dict[str, Any]]:
    """Give a driver all lines, kill it so long after so many answers; return its answers."""
    answers: list[dict[str, Any]] = []
    driver = Driver(name)
    stdin, stdout = driver.process.stdin, driver.process.stdout
    assert stdin is not None
    assert stdout is not None

    def write() -> None:
        with suppress(OSError):  # it was killed
            stdin.write(b"".join(line + b"\n" for line in lines))
            stdin.flush()

    killer = threading.Timer(delay_s, driver.process.kill)
    late = threading.Timer(ANSWER_TIMEOUT_S, driver.process.kill)
    writer = threading.Thread(target=write, daemon=True)
    try:
        late.start()
        driver.ask("hello")
        writer.start()
        for count in range(len(lines)):
            if count == after:
                killer.start()
            line = stdout.readline()
            if not line.endswith(b"\n"):
                break
            answers.append(json.loads(line))
        assert late.is_alive(), f"{name}: expected answers within {ANSWER_TIMEOUT_S:g} s, got none"
    finally:
        late.cancel()
        killer.cancel()
        driver.process.kill()
        writer.join(ANSWER_TIMEOUT_S)
        driver.kill()
    return answers


def run(
    folder: Path, *, kills: int, seed: int, appends: int = 20, say: Callable[[str], None]
) -> Run:
    """Kill so many drivers over one folder, and return what became of it.

    Raises:
        AssertionError: Something acknowledged is missing, a number or a window is there twice.
    """
    names = [name for name in OUTBOXES if name in available()]
    going = Run(folder, seed, appends=appends)
    weights = [WEIGHTS[name] for name in names]
    chance = random.Random(seed)  # noqa: S311 - as above
    first = iter(names)
    while going.kills < kills or not going.turns.keys() >= set(names):
        name = next(first, None) or chance.choices(names, weights)[0]
        try:
            going.turn(name)
        except AssertionError as error:
            error.add_note(f"seed {seed}, turn {going.turns.total()}: {dict(going.turns)}")
            raise
    say(
        f"{going.kills} kills of {dict(going.turns)}, seed {seed}, in {dict(going.ended)}:"
        f" {going.given} windows, {going.answers['outbox.pending']} openings, nothing lost, no"
        " number given twice"
    )
    return going


def main() -> None:
    """Kill as often as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.sdk_outbox_kills")
    parser.add_argument("kills", nargs="?", type=int, default=NIGHTLY)
    parser.add_argument("--each", type=int, default=200, help="kills in one folder")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    asked = parser.parse_args()
    for at in range(0, asked.kills, asked.each):
        with folder_in_memory() as name:
            kills = min(asked.each, asked.kills - at)
            run(name, kills=kills, seed=asked.seed + at, say=lambda line: print(line, flush=True))  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
