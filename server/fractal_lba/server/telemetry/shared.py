"""Counts of several workers, added up by whichever is scraped.

Each worker keeps its values in mapped files of its slot, in one folder. Its successor goes on where
it ended, so that no sum falls with a worker; the supervisor makes the folder anew. The library
decides by a variable of the environment, read when it is imported, whether values are kept so: here
its choice is made for it, before the first metric.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from typing_extensions import override

from fractal_lba.server.seat import Health


def keep_values(folder: Path, worker: int) -> None:
    """Keep the values of this process's metrics in a worker's files from now on.

    Args:
        folder: There; the files of all workers.
        worker: This one's number, in whose files its predecessor may have left values.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    slot = f"worker-{worker}"
    shared = values.MultiProcessValue(process_identifier=lambda: slot)  # type: ignore[no-untyped-call]  # it has no annotations
    values.ValueClass = shared


def all_values(folder: Path) -> CollectorRegistry:
    """Return a registry that gives the sums of all workers' values."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]  # as above
    return registry


class Workers(Collector):
    """Which workers serve, as the supervisor says.

    Args:
        health: Returns how each is.
    """

    def __init__(self, health: Callable[[], Sequence[Health]]) -> None:
        self._health = health

    @override
    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        up = GaugeMetricFamily("flk_worker_up", "Whether a worker serves.", labels=["worker"])
        restarts = CounterMetricFamily(
            "flk_worker_restarts_total",
            "Workers that died or hung and were started again.",
            labels=["worker"],
        )
        for each in self._health():
            up.add_metric([str(each.worker)], float(each.is_up))
            restarts.add_metric([str(each.worker)], each.restarts)
        yield up
        yield restarts
