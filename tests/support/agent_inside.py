"""An agent inside a test: the ``Agent`` of the API in a world of memory and virtual time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from tests.support.agent_world import RECIPE, MemoryServer, world
from tests.support.failing_disk import FailingDisk

from fractal_lba.agent import Agent, Event, Outcome
from fractal_lba.agent.bounds import OutboxBounds
from fractal_lba.agent.hooks import Attribute, Silent
from fractal_lba.agent.kept import Keeping
from fractal_lba.agent.measures import Meter
from fractal_lba.agent.options import Setup
from fractal_lba.agent.ports import Clock, Lanes
from fractal_lba.agent.record import Recipe
from fractal_lba.agent.session import Shipping, World
from fractal_lba.client import RetryPolicy
from fractal_lba.wal import Disk, RealDisk


def _no_client() -> NoReturn:
    raise AssertionError("this world has a server of its own")


def agent_of(  # noqa: PLR0913 - each by name
    data: Path,
    server: MemoryServer,
    disk: Disk | None = None,
    *,
    grace_s: float = 10.0,
    bounds: OutboxBounds | None = None,
    kept: Keeping | None = None,
    lanes: Lanes | None = None,
    recipe: Recipe = RECIPE,
    give_up_s: float | None = None,
    clock: Clock | None = None,
    **changes: Any,  # noqa: ANN401 - of Setup's own types
) -> Agent:
    """Return an agent of the stream ``s`` that is not open yet; it does not wait for a device."""
    settings: dict[str, Any] = {
        "shard_id": "s",
        "callbacks": {},
        "hooks": Silent(),
        "metrics": None,
        "clients": _no_client,
        "say": lambda _text: None,
    }
    shipping = Shipping(
        data=data,
        recipe=recipe,
        in_flight=2,
        grace_s=grace_s,
        policy=RetryPolicy(),
        outbox=bounds or OutboxBounds(),
        kept=kept,
        give_up_s=give_up_s,
    )

    @contextlib.asynccontextmanager
    async def worlds(
        setup: Setup, meter: Meter, tell: Callable[[Outcome], None]
    ) -> AsyncIterator[World]:
        given = world(server, FailingDisk(RealDisk()) if disk is None else disk)
        yield World(
            clock=clock or given.clock,
            lanes=lanes or given.lanes,
            disk=given.disk,
            servers=given.servers,
            rng=given.rng,
            tell=tell,
            hooks=setup.hooks,
            meter=meter,
        )

    return Agent.within(Setup(shipping=shipping, **(settings | changes)), worlds)


def points(number: int) -> NDArray[np.float64]:
    """Return a window of four rows unlike any other number's."""
    return np.arange(8.0).reshape(4, 2) ** 2 + number


class TellingHooks:
    """Hooks that remember."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.begun = {event: asyncio.Event() for event in Event}
        self.found: dict[Event, dict[str, Attribute]] = {}
        self.errors: dict[Event, str] = {}

    def start(self, event: Event, attributes: Mapping[str, Attribute], /) -> object:
        self.order.append(f"+{event}")
        self.begun[event].set()
        self.found[event] = dict(attributes)
        return event

    def end(
        self, started: object, attributes: Mapping[str, Attribute], error: BaseException | None, /
    ) -> None:
        assert isinstance(started, Event)
        self.order.append(f"-{started}")
        self.found[started] |= attributes
        if error is not None:
            self.errors[started] = type(error).__name__
