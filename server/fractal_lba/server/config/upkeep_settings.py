"""What can be set of the jobs that look after what is stored."""

from typing import Annotated

import msgspec


class UpkeepSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast and how often what is on disk is read again."""

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
