"""The outbox's measures: how deep and how old it is, and what was done with it."""

from collections.abc import Iterator
from dataclasses import dataclass

from fractal_lba.agent.measures import Kind, Sample


@dataclass(slots=True)
class Counts:
    """What an outbox did since it was opened.

    Attributes:
        appends: Windows made durable.
        syncs: Batches written.
        compactions: Times that old segments were given up.
        refused: Windows that found it full.
        waits: Times that observing waited.
    """

    appends: int = 0
    syncs: int = 0
    compactions: int = 0
    refused: int = 0
    waits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What an outbox holds at one moment.

    Attributes:
        pending_records: Windows without a final answer.
        pending_bytes: Bytes of their frames.
        records_max: How many may wait.
        bytes_max: How many bytes of them may wait.
        disk_bytes: Bytes of all frames.
        disk_full: The disk has no room for more.
        oldest_ms: When the oldest was observed, ms since 1970; None where none waits.
    """

    pending_records: int
    pending_bytes: int
    records_max: int
    bytes_max: int
    disk_bytes: int
    disk_full: bool
    oldest_ms: int | None


def outbox_samples(depth: Depth, counts: Counts, *, now_ms: int) -> Iterator[Sample]:
    """Yield an outbox's numbers under their names."""
    age_s = 0.0 if depth.oldest_ms is None else max(0, now_ms - depth.oldest_ms) / 1000
    for name, meaning, value in (
        ("pending_records", "Windows without a final answer.", depth.pending_records),
        ("pending_bytes", "Bytes of their frames.", depth.pending_bytes),
        ("records_max", "Windows that may wait at the most.", depth.records_max),
        ("bytes_max", "Bytes that may wait at the most.", depth.bytes_max),
        ("disk_bytes", "Bytes of all frames on disk.", depth.disk_bytes),
        ("disk_full", "Whether the disk has no room for more.", depth.disk_full),
        ("oldest_pending_seconds", "How long the oldest has waited.", age_s),
    ):
        yield Sample(name=_name(name), kind=Kind.GAUGE, meaning=meaning, value=value)
    for name, meaning, value in (
        ("appends_total", "Windows made durable.", counts.appends),
        ("syncs_total", "Batches written and synced.", counts.syncs),
        ("compactions_total", "Times that old segments were given up.", counts.compactions),
        ("refused_total", "Windows refused because the outbox was full.", counts.refused),
        ("waits_total", "Times that observing waited for room.", counts.waits),
    ):
        yield Sample(name=_name(name), kind=Kind.COUNTER, meaning=meaning, value=value)


def _name(name: str) -> str:
    return f"flk_agent_outbox_{name}"
