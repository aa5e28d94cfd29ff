"""The jobs that look after what is stored, put together: scrub and expire."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from fractal_lba.server.config import Settings
from fractal_lba.server.jobs.expire import Expirer, Forgetful, ForgettingMeter
from fractal_lba.server.jobs.scrub import Look, Scrubber
from fractal_lba.server.ports import Clock, Decisions, Inbox, Meter


class UpkeepMeter(Meter, ForgettingMeter, Protocol):
    """Counts for both."""


def upkeep_of(  # noqa: PLR0913 - the ports of both, each named at the call
    settings: Settings,
    *,
    look: Look,
    shards: Mapping[str, Forgetful],
    is_busy: Callable[[], bool],
    may_forget: Callable[[], bool],
    clock: Clock,
    meter: UpkeepMeter,
) -> list[Coroutine[Any, Any, None]]:
    """Return what runs beside the requests until it is cancelled.

    Args:
        settings: Of the server.
        look: Reads everything of this process once.
        shards: Of this process, by name.
        is_busy: Whether requests should be let go first.
        may_forget: Whether nothing is open or fenced.
        clock: Nanoseconds since 1970.
        meter: Counts.
    """
    scrubber = Scrubber(
        look,
        bytes_per_s=settings.scrub_bytes_per_s,
        interval_s=settings.scrub_interval_s,
        is_busy=is_busy,
        meter=meter,
    )
    expirer = Expirer(
        shards,
        may_forget=may_forget,
        clock=clock,
        interval_s=settings.expire_interval_s,
        records_max=settings.expire_records_max,
        meter=meter,
    )
    return [scrubber.run(), expirer.run()]


def is_settled(inboxes: Sequence[Inbox], decisions: Decisions) -> bool:
    """Tell whether nothing is left open or fenced: whether what came before is at its end."""
    return not decisions.fences and not any(
        inbox.fenced_by or inbox.left_open_count for inbox in inboxes
    )
