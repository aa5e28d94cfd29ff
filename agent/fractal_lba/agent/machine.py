"""This machine: real clocks, threads, disk and network, as the world of a session."""

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping

from fractal_lba.agent.hooks import Hooks
from fractal_lba.agent.measures import Meter
from fractal_lba.agent.outcome import Outcome
from fractal_lba.agent.ports import SystemClock, ThreadLanes
from fractal_lba.agent.session import World, tell_nobody
from fractal_lba.client import Client
from fractal_lba.protocol import ContractError, Key, Keyring
from fractal_lba.wal import RealDisk


@contextlib.asynccontextmanager
async def this_machine(
    clients: Mapping[str, Client],
    *,
    meter: Meter,
    hooks: Hooks,
    tell: Callable[[Outcome], None] = tell_nobody,
) -> AsyncIterator[World]:
    """Give a world around clients that are not open yet; its threads end with the context.

    Args:
        clients: By URL, the preferred one first.
        meter: Gets everything that counts.
        hooks: Told when something begins and ends.
        tell: Called with each final answer.
    """
    lanes = ThreadLanes()
    try:
        async with contextlib.AsyncExitStack() as opened:
            for client in clients.values():
                await opened.enter_async_context(client)
            yield World(
                clock=SystemClock(),
                lanes=lanes,
                disk=RealDisk(),
                servers=clients,
                rng=random.Random(),  # noqa: S311 - jitter, not a secret
                tell=tell,
                hooks=hooks,
                meter=meter,
            )
    finally:
        lanes.close()


def signing_key(keyring: Keyring, kid: str | None, *, name: str, now_ms: int) -> Key:
    """Return the key to sign with.

    Args:
        keyring: The agent's.
        kid: Which key; not needed where only one can sign.
        name: The keyring's file, for messages.
        now_ms: Milliseconds since 1970.

    Raises:
        ContractError: There is none, or no telling which.
    """
    able = [key for key in keyring.keys.values() if key.secret is not None and not key.legacy]
    if kid is not None:
        able = [key for key in able if key.kid == kid]
    if len(able) != 1:
        wanted = "one key that can sign" if kid is None else f"a key {kid!r} that can sign"
        named = ", ".join(key.kid for key in able)
        raise ContractError(
            f"keyring {name}: expected {wanted},"
            f" got {f'{named}: choose with --kid (kid)' if able else 'none'}"
        )
    if not able[0].is_valid_at(now_ms):
        raise ContractError(
            f"keyring {name}: expected a key that is valid now, got {able[0].kid!r}"
        )
    return able[0]
