"""What each worker may hold of what is set for the server.

Bounds of what the whole machine carries (connections, bodies, bytes, answers, what unidentified
callers cost) are divided, so that a setting keeps its meaning with any number of workers. Bounds of
one address or one tenant are each worker's own, capped by its part of the whole: a connection stays
with one worker, and who uses a single one must not be served less for it.
"""

import math
import os

from msgspec.structs import replace

from fractal_lba.server.config.settings import Settings
from fractal_lba.server.core.disk_budget import Budget

_BATCH_BYTES = 16_777_216
"""A body of the largest kind must have room in every worker."""


def workers_of(settings: Settings, shards: int) -> int:
    """Return how many workers serve: as set, or one for each core, at most one for each shard."""
    return settings.workers or min(_cores(), shards)


def divided(settings: Settings, workers: int) -> Settings:
    """Return the settings of one of so many workers."""
    if workers == 1:
        return settings

    def part(whole: int, least: int = 1) -> int:
        return max(least, math.ceil(whole / workers))

    connections = part(settings.connections_max)
    requests = part(settings.requests_in_flight_max)
    held = part(settings.bytes_in_flight_max, _BATCH_BYTES)
    return replace(
        settings,
        connections_max=connections,
        connections_per_address_max=min(settings.connections_per_address_max, connections),
        addresses_max=part(settings.addresses_max),
        answer_bytes_max=part(settings.answer_bytes_max, 4_194_304),
        requests_in_flight_max=requests,
        requests_in_flight_per_address_max=min(
            settings.requests_in_flight_per_address_max, requests
        ),
        requests_in_flight_per_tenant_max=min(settings.requests_in_flight_per_tenant_max, requests),
        bytes_in_flight_max=held,
        bytes_in_flight_per_address_max=min(settings.bytes_in_flight_per_address_max, held),
        bytes_in_flight_per_tenant_max=min(settings.bytes_in_flight_per_tenant_max, held),
        batches_at_once_max=part(settings.batches_at_once_max),
        refusals_per_s=settings.refusals_per_s / workers,
        unidentified_in_flight_max=part(settings.unidentified_in_flight_max),
        unidentified_batches_max=part(settings.unidentified_batches_max),
        unidentified_bytes_in_flight_max=part(
            settings.unidentified_bytes_in_flight_max, _BATCH_BYTES
        ),
        unidentified_rate_per_s=settings.unidentified_rate_per_s / workers,
        unidentified_burst=part(settings.unidentified_burst),
        unidentified_bytes_per_s=settings.unidentified_bytes_per_s / workers,
        unidentified_cpu_share=settings.unidentified_cpu_share / workers,
        scrub_bytes_per_s=part(settings.scrub_bytes_per_s, 0),
        left_open_max=part(settings.left_open_max),
        exports_max=part(settings.exports_max),
        inbox_evidence_bytes_max=part(settings.inbox_evidence_bytes_max, 0),
    )


def budget_of(settings: Settings, shards: int) -> Budget:
    """Return what a folder of so many shards may take of the disk, and has to leave free.

    What is set to be left free is for one shard: recovery copies up to a segment of each.
    """
    free_min = settings.disk_free_bytes_min
    if free_min:
        free_min += (shards - 1) * settings.segment_bytes_max
    return Budget(used_max=settings.disk_bytes_max, free_min=free_min)


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
