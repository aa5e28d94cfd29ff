"""Metrics for Prometheus, in a registry of their own.

A client library appends ``_total`` to counters: the names here are the ones that are scraped.
"""

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from fractal_lba.server.core.disk_budget import Forecast
from fractal_lba.server.core.problems import Kind
from fractal_lba.server.seat import ALONE, Seat
from fractal_lba.server.telemetry.shared import Workers, all_values, keep_values

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_RECORDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

_OK, _ACCEPTED, _NOT_ACCEPTED, _CONFLICT, _UNAUTHORIZED = 200, 202, 422, 409, 401


class Metrics:
    """The server's counts; the ``Meter`` of the pipeline.

    Args:
        seat: Which worker counts, and how all of them are.
        shared: The folder that several workers keep their values in; ``None`` where one is alone.
    """

    def __init__(self, seat: Seat = ALONE, shared: Path | None = None) -> None:
        self._shared = shared
        if shared is not None:
            keep_values(shared, seat.worker)
        self._workers = CollectorRegistry()
        self._workers.register(Workers(seat.health))
        # When a series began is one more series for each: nobody asks for it.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
        self._registry = CollectorRegistry()
        registry = self._registry
        self._ingest = Counter(
            "flk_ingest_total", "Records of bodies written to the inbox.", registry=registry
        )
        self._hits = Counter(
            "flk_dedup_hits_total",
            "Repeats answered from the first decision.",
            ["tenant"],
            registry=registry,
        )
        self._accepted = Counter(
            "flk_accepted_total",
            "Records accepted, escalated ones included.",
            ["tenant"],
            registry=registry,
        )
        self._escalated = Counter(
            "flk_escalated_total", "Records accepted and escalated.", ["tenant"], registry=registry
        )
        self._rejected = Counter(
            "flk_rejected_total",
            "Bodies refused, and records decided and not accepted (code not_accepted).",
            ["tenant", "code"],
            registry=registry,
        )
        self._conflicts = Counter(
            "flk_conflicts_total",
            "Other contents under a decided id.",
            ["tenant"],
            registry=registry,
        )
        self._signature_errors = Counter(
            "flk_signature_errors_total",
            "Bodies whose key or signature was refused.",
            registry=registry,
        )
        self._wal_errors = Counter(
            "flk_wal_errors_total",
            "Failed writes, fsyncs, commits and reads of a log.",
            ["stream"],
            registry=registry,
        )
        self._torn = Counter(
            "flk_wal_torn_bytes_total",
            "Bytes of torn tails set aside in .cut files.",
            ["stream"],
            registry=registry,
        )
        self._damaged = Gauge(
            "flk_wal_damaged_ranges",
            "Damaged ranges found by the last recovery.",
            ["stream"],
            multiprocess_mode="sum",
            registry=registry,
        )
        self._disk = {
            name: Gauge(f"flk_disk_{name}", text, multiprocess_mode="mostrecent", registry=registry)
            for name, text in (
                ("used_bytes", "Bytes of the data folder on disk."),
                ("free_bytes", "Bytes free on its file system."),
                ("room_bytes", "Bytes until nothing more is taken."),
                ("growth_bytes_per_second", "Growth of the data folder, over about ten minutes."),
                ("full_in_seconds", "Until nothing more is taken, at that growth; +Inf: never."),
                ("index_bytes", "Bytes of the shards' indexes on disk."),
                ("index_growth_bytes_per_second", "Growth of the indexes, averaged as long."),
            )
        }
        self._forgotten = Counter(
            "flk_forgotten_total", "Records forgotten after their deadline.", registry=registry
        )
        self._forgetting_behind = Gauge(
            "flk_forgetting_behind_seconds",
            "By how much forgetting is behind the clock, at the last look.",
            multiprocess_mode="max",
            registry=registry,
        )
        self._ledger_removed = Counter(
            "flk_ledger_removed_bytes_total",
            "Bytes of ledger segments removed once all in them was forgotten.",
            registry=registry,
        )
        self._scrub_bytes = Counter(
            "flk_scrub_bytes_total", "Stored bytes read and checked again.", registry=registry
        )
        self._scrub_problems = Gauge(
            "flk_scrub_problems",
            "Problems that the last scrub found, at most 100 of them, by kind.",
            ["kind"],
            multiprocess_mode="sum",
            registry=registry,
        )
        for kind in Kind:
            self._scrub_problems.labels(kind).set(0)
        self._scrub_finished = Gauge(
            "flk_scrub_last_finished_seconds",
            "When the last scrub ended, in seconds since 1970; 0: none has yet.",
            multiprocess_mode="min",
            registry=registry,
        )
        self._poison = Gauge(
            "flk_poison_bodies",
            "Bodies that ended the processes that judged them, and are set aside.",
            multiprocess_mode="sum",
            registry=registry,
        )
        self._keyring_errors = Counter(
            "flk_keyring_errors_total", "Keyring files that could not be loaded.", registry=registry
        )
        self._tls_errors = Counter(
            "flk_tls_errors_total", "TLS files that could not be loaded.", registry=registry
        )
        self._cut = Counter(
            "flk_connections_cut_total",
            "Idle connections that made room for others, and ones whose answer nobody took.",
            ["why"],
            registry=registry,
        )
        self._handshakes = Counter(
            "flk_tls_handshake_errors_total",
            "Connections whose TLS handshake failed or took too long.",
            registry=registry,
        )
        self._unidentified = Counter(
            "flk_unidentified_refused_total",
            "Bodies of callers without an identity, refused for the bounds of their lane.",
            registry=registry,
        )
        self._submit = Histogram(
            "flk_submit_seconds",
            "From a body's last byte to its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._fsync = Histogram(
            "flk_fsync_seconds",
            "One write and fsync of a log.",
            ["stream"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch = Histogram(
            "flk_batch_records",
            "Frames that shared a commit.",
            ["stream"],
            buckets=_RECORDS,
            registry=registry,
        )

    def ingested(self, records: int = 1) -> None:
        """Count the records of a body that was logged."""
        self._ingest.inc(records)

    def answered(
        self,
        *,
        tenant: str | None,
        status: int,
        code: str | None,
        is_replayed: bool,
        records: int = 1,
    ) -> None:
        """Count how records of logged bodies ended, under no tenant where none was verified."""
        label = tenant or ""
        if is_replayed:
            self._hits.labels(label).inc(records)
        elif status in {_OK, _ACCEPTED}:
            self._accepted.labels(label).inc(records)
            if status == _ACCEPTED:
                self._escalated.labels(label).inc(records)
        elif status == _CONFLICT:
            self._conflicts.labels(label).inc(records)
        else:
            self._rejected.labels(label, code or "not_accepted").inc(records)
            if status == _UNAUTHORIZED:
                self._signature_errors.inc(records)

    def submit_took(self, seconds: float) -> None:
        """Observe the time from a body's last byte to its answer."""
        self._submit.observe(seconds)

    def synced(self, *, stream: str, seconds: float, frames: int) -> None:
        """Observe one write and fsync of a log, and how many frames shared it."""
        self._fsync.labels(stream).observe(seconds)
        self._batch.labels(stream).observe(frames)

    def wal_failed(self, *, stream: str) -> None:
        """Count a failed write, fsync or commit."""
        self._wal_errors.labels(stream).inc()

    def recovered(self, *, stream: str, torn_bytes: int, damaged_ranges: int) -> None:
        """Count what opening a log found."""
        # A series that begins with its first error shows no increase.
        self._wal_errors.labels(stream).inc(0)
        self._torn.labels(stream).inc(torn_bytes)
        self._damaged.labels(stream).set(damaged_ranges)

    def disk_measured(self, found: Forecast) -> None:
        """Note what the data folder takes, what is left for it and when that will be gone."""
        for name, value in (
            ("used_bytes", found.measured.used),
            ("free_bytes", found.measured.free),
            ("room_bytes", found.room),
            ("growth_bytes_per_second", found.growth_per_s),
            ("full_in_seconds", found.until_full_s),
            ("index_bytes", found.measured.index),
            ("index_growth_bytes_per_second", found.index_growth_per_s),
        ):
            self._disk[name].set(value)

    def forgot(self, records: int) -> None:
        """Count records that were forgotten."""
        self._forgotten.inc(records)

    def forgetting_is_behind(self, seconds: float) -> None:
        """Note by how much forgetting is behind the clock."""
        self._forgetting_behind.set(seconds)

    def ledger_removed(self, size: int) -> None:
        """Count bytes of a ledger that were removed."""
        self._ledger_removed.inc(size)

    def scrub_read(self, size: int) -> None:
        """Count bytes that were read and checked again."""
        self._scrub_bytes.inc(size)

    def scrubbed(self, *, problems: Mapping[str, int], finished_s: float) -> None:
        """Note what a whole scrub found, by kind, and when it ended (seconds since 1970)."""
        for kind in Kind:
            self._scrub_problems.labels(kind).set(problems.get(kind, 0))
        self._scrub_finished.set(finished_s)

    def poison_known(self, count: int) -> None:
        """Note how many bodies are known to end the process that judges them."""
        self._poison.set(count)

    def keyring_refused(self) -> None:
        """Count a keyring file that could not be loaded; the old ring stays."""
        self._keyring_errors.inc()

    def tls_refused(self) -> None:
        """Count TLS files that could not be loaded; the old ones stay."""
        self._tls_errors.inc()

    def connection_cut(self, why: str) -> None:
        """Count an open connection that was ended for its ``room`` or an ``unread`` answer."""
        self._cut.labels(why=why).inc()

    def handshake_failed(self) -> None:
        """Count a connection whose TLS handshake failed or took too long."""
        self._handshakes.inc()

    def unidentified_refused(self) -> None:
        """Count a body that the lane of unidentified callers had no place or rate for."""
        self._unidentified.inc()

    def exposition(self) -> bytes:
        """Return what a scrape gets: the values of every worker together."""
        own = self._registry if self._shared is None else all_values(self._shared)
        return generate_latest(own) + generate_latest(self._workers)
