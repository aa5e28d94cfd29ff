"""Streams: a source, and the name under which its windows are numbered."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from fractal_lba.agent.cutting import Units
from fractal_lba.agent.ports import Clock, Lane, Lanes
from fractal_lba.agent.sources import live
from fractal_lba.agent.sources.base import FileSource
from fractal_lba.agent.sources.followed import Followed
from fractal_lba.agent.sources.live import LiveSource
from fractal_lba.agent.window import UNITS_MAX
from fractal_lba.protocol import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStream:
    """A file and the stream its windows belong to."""

    shard_id: str
    source: FileSource


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedStream:
    """A file that is read as it grows, and the stream its windows belong to."""

    shard_id: str
    source: Followed


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStream:
    """The live source and the stream its windows belong to."""

    shard_id: str
    source: LiveSource


class UnitSource(Protocol):
    """Hands over units that cannot be read again.

    Attributes:
        key: Names it in the outbox.
        name: Names it for people.
        profile: Of its windows.
        waiting_max: Pieces that wait while a window is summarised or the disk is slow; it pauses
            beyond them.
    """

    key: str
    name: str
    profile: Profile
    waiting_max: int

    async def run(self, put: Callable[[Units], Awaitable[None]]) -> None:
        """Hand over what comes until it ends; may be cancelled.

        Raises:
            ContractError: It cannot be read; what was handed over stands.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStream:
    """A source of units and the stream its windows belong to."""

    shard_id: str
    source: UnitSource


class Samples:
    """The live source, sampled at an interval."""

    key = name = live.KEY
    profile = Profile.POINTS
    waiting_max = UNITS_MAX

    def __init__(self, source: LiveSource, interval_s: float, clock: Clock, lanes: Lanes) -> None:
        self._source = source
        self._interval_s = interval_s
        self._clock = clock
        self._lanes = lanes

    async def run(self, put: Callable[[Units], Awaitable[None]]) -> None:
        """See ``UnitSource``; does not end by itself."""
        # The first sample has nothing to be an increase of.
        await self._lanes.run(Lane.LIVE, self._source.sample)
        due_s = self._clock.monotonic_s()
        while True:
            # A sample that came late does not make the next ones come early.
            due_s = max(due_s + self._interval_s, self._clock.monotonic_s())
            await self._clock.sleep(due_s - self._clock.monotonic_s())
            await put([await self._lanes.run(Lane.LIVE, self._source.sample)])
