"""What can be set about the processes that serve."""

from typing import Annotated

import msgspec

from fractal_lba.server.config.upkeep_settings import UpkeepSettings


class WorkerSettings(UpkeepSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many there are, and how long they wait for each other."""

    workers: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=64,
            description=(
                "Processes that serve; 0: one for each core, at most one for each shard. With 1"
                " there is no supervisor."
            ),
        ),
    ] = 0
    worker_timeout_s: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="A worker that gives no sign of life for so long is killed and replaced.",
        ),
    ] = 30.0
    peer_timeout_s: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="How long a worker waits for another one's answer before its own is 503.",
        ),
    ] = 10.0
