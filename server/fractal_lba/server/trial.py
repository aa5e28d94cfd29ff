"""A process that may end: ``python -m fractal_lba.server.trial KEYRING``.

It tries the bodies of a task (see ``core.poison``) that stands on its standard input, and says on
its standard output what it is about to do. It writes nothing else, and decides nothing.

Only a body may end it: who stops the server, at a terminal or by its control group, stops this
process too, and a body that was on trial meanwhile is no poison for that.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Final

from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol.authenticate import LEGACY_TENANT, authenticate
from fractal_lba.protocol.errors import Refusal
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.versions import IN_FORCE
from fractal_lba.server.core.judged import judged
from fractal_lba.server.core.poison import TRIAL_S_MAX, Tried, decode_task, encode_step

_NOT_FOR_IT: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def try_bodies(data: bytes, keyring: Keyring) -> None:
    """Do with each record of a task what a server would, but for remembering it."""
    task = decode_task(data)
    step = task.step
    for at in range(task.first, len(task.bodies)):
        _try(at, task.bodies[at], keyring, step)
        step = 0


def _try(at: int, tried: Tried, keyring: Keyring, first: int) -> None:
    if not first:
        _say(at, 0)
    try:
        records = tried.records()
    except Refusal:
        return
    tenant = tried.received.tenant_header or LEGACY_TENANT
    for step, record in enumerate(records, start=1):
        if step < first:
            continue
        _say(at, step)
        try:
            authenticated = authenticate(record, keyring, legacy_tenant=tenant)
            judged(authenticated, IN_FORCE, received_ns=0, is_recovered=True)
        except Exception:  # noqa: BLE001, S112 - a refusal or a bug: the process goes on, as a server does
            continue


def _say(at: int, step: int) -> None:
    # Nothing may stay in a buffer: what follows may be the end.
    os.write(sys.stdout.fileno(), encode_step(at, step))


def main() -> None:
    """Try what is given."""
    for number in _NOT_FOR_IT:
        signal.signal(number, signal.SIG_IGN)
    # Whoever waits for it gives up after so long; where that one was killed, nobody is left to.
    signal.setitimer(signal.ITIMER_REAL, TRIAL_S_MAX)
    try_bodies(sys.stdin.buffer.read(), load_keyring(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
