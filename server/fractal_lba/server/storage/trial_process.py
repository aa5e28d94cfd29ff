"""Trials of bodies in a process of their own, which may end."""

import asyncio
import logging
import subprocess
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Final

from fractal_lba.server.core.poison import TRIAL_S_MAX, Task, Tried, encode_task, last_step
from fractal_lba.server.ports import InboxFrame

RECORDS_OF_A_BODY_MAX: Final = 8
"""A batch with more poison in it is poison as a whole: each costs a process."""

_log = logging.getLogger(__name__)


class TrialProcess:
    """Try bodies; see ``suspects.Trial``.

    Args:
        command: Of the process, with all its words.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    async def __call__(self, frames: Sequence[InboxFrame]) -> list[bytes]:
        """See ``suspects.Trial``."""
        bodies = tuple(Tried(frame.received, frame.body) for frame in frames)
        return await asyncio.to_thread(self._try, bodies)

    def _try(self, bodies: tuple[Tried, ...]) -> list[bytes]:
        poison: list[bytes] = []
        found: Counter[int] = Counter()
        first, step = 0, 0
        while first < len(bodies):
            ended_at = self._run(Task(bodies, first, step))
            if ended_at is None:
                break
            first, step = ended_at[0], ended_at[1] + 1
            tried = bodies[first]
            if step == 1 or found[first] == RECORDS_OF_A_BODY_MAX:
                poison.append(tried.body)
                first, step = first + 1, 0
                continue
            # Its encoding was undone in that process before, and nothing happened.
            (record,) = islice(tried.records(), step - 2, step - 1)
            poison.append(record)
            found[first] += 1
        return poison

    def _run(self, task: Task) -> tuple[int, int] | None:
        """Return the body and the step that ended a process, ``None`` where none did."""
        try:
            done = subprocess.run(  # noqa: S603 - the composition root's own command
                self._command,
                input=encode_task(task),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=TRIAL_S_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return last_step(error.stdout or b"")
        except OSError as error:
            _log.error("bodies cannot be tried", extra={"error": str(error)})
            return None
        if done.returncode == 0:
            return None
        ended_at = last_step(done.stdout)
        if ended_at is None:
            _log.error("bodies cannot be tried", extra={"error": f"exit code {done.returncode}"})
        return ended_at
