"""The way of what is in one inbox, put together: taken in, in batches, and settled again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fractal_lba.protocol.judge import Params
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.pipeline.batch import Batches
from fractal_lba.server.pipeline.intake import Intake
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.pipeline.recover import Mender
from fractal_lba.server.ports import Clock, Decisions, Inbox, Meter, Shard
from fractal_lba.server.suspects import Judging, Trial
from fractal_lba.wal.group_commit import Bounds


@dataclass(frozen=True, slots=True)
class Way:
    """What brings the bodies in one inbox to their end."""

    intake: Intake
    batches: Batches
    mender: Mender


def way_of(  # noqa: PLR0913 - the ports of the pipeline, each named at the call
    inbox: Inbox,
    *,
    shards: Mapping[str, Shard],
    decisions: Decisions,
    keyring: Callable[[], Keyring],
    params: Mapping[str, Params],
    policies: Policies,
    clock: Clock,
    meter: Meter,
    judging: Judging,
    trial: Trial,
    bounds: Bounds,
    pace: Pace,
    batches_at_once_max: int,
    left_open_max: int,
) -> Way:
    """Return the way of one inbox.

    Args:
        inbox: Where bodies are logged, or were.
        shards: Those of this process, by name, which are mended.
        decisions: Where bodies are decided.
        keyring: Returns the ring of this moment.
        params: What new records of each version are judged by.
        policies: What is asked of each tenant.
        clock: Nanoseconds since 1970.
        meter: Counts.
        judging: Notes which of its bodies are being judged.
        trial: Tries those that may have ended a process.
        bounds: Of verification.
        pace: Of what is done for unidentified callers.
        batches_at_once_max: Of identified callers.
        left_open_max: Bodies that a failure may leave undecided.
    """
    intake = Intake(
        inbox=inbox,
        decisions=decisions,
        keyring=keyring,
        params=params,
        policies=policies,
        clock=clock,
        meter=meter,
        judging=judging,
        bounds=bounds,
        pace=pace,
        left_open_max=left_open_max,
    )
    batches = Batches(inbox=inbox, intake=intake, meter=meter, at_once_max=batches_at_once_max)
    mender = Mender(
        inbox=inbox,
        shards=shards,
        decisions=decisions,
        intake=intake,
        batches=batches,
        judging=judging,
        trial=trial,
        meter=meter,
    )
    return Way(intake, batches, mender)
