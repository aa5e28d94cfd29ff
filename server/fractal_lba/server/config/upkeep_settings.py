"""What can be set of the jobs that look after what is stored."""

from typing import Annotated

import msgspec


class UpkeepSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast and how often what is on disk is read again, and what is due forgotten."""

    scrub_bytes_per_s: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description=(
                "Bytes a second that scrub reads and checks; a sixth of a core at the default."
                " 0: it does not run."
            ),
        ),
    ] = 1_048_576
    scrub_interval_s: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="From the end of a scrub to the next; one begins a minute after a start.",
        ),
    ] = 604_800.0
    scrub_pause_in_flight: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="Requests in flight at which scrub goes on at a crawl, for a while."
        ),
    ] = 8
    expire_interval_s: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description=(
                "How often it is looked for records that are kept no longer; the first look is"
                " that long after a start."
            ),
        ),
    ] = 600.0
    expire_records_max: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=16_384,
            description=(
                "Records forgotten in one step, which keeps a shard busy for some tens of"
                " milliseconds; between two steps others have their turn."
            ),
        ),
    ] = 1_000
