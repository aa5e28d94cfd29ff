"""A scrub keeps its rate, believes only what it sees twice, and never ends by itself."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from tests.support.inline_threads import InlineExecutor
from tests.support.virtual_time import run_virtual

from fractal_lba.server.core.problems import Kind, Report
from fractal_lba.server.jobs.scrub import PAUSED_S_MAX, Look, Scrubber
from fractal_lba.server.telemetry.metrics import Metrics


class Looks:
    """Readings of ten pieces of 100 bytes each; each reading finds what it is told to."""

    def __init__(self, *found: Sequence[str]) -> None:
        self.found = list(found)
        self.times: list[float] = []

    def __call__(self, report: Report) -> Iterator[int]:
        for what in self.found.pop(0) if self.found else ():
            report.add(Kind.LEDGER_DAMAGED, "shard-0/ledger", what)
        for _ in range(10):
            self.times.append(asyncio.get_running_loop().time())
            yield 100


def scrubber(
    looks: Looks, metrics: Metrics, *, rate: int = 50, busy_until_s: float = 0.0
) -> Scrubber:
    def is_busy() -> bool:
        return asyncio.get_running_loop().time() < busy_until_s

    return Scrubber(
        looks,
        bytes_per_s=rate,
        interval_s=1_000.0,
        is_busy=is_busy,
        meter=metrics,
        clock=lambda: 77.0,
    )


def scrubbed(looks: Looks, metrics: Metrics, *, busy_until_s: float = 0.0) -> Report:
    async def main() -> Report:
        asyncio.get_running_loop().set_default_executor(InlineExecutor())
        return await scrubber(looks, metrics, busy_until_s=busy_until_s).scrub()

    return run_virtual(main())


def sample(metrics: Metrics, name: str) -> str:
    (line,) = (
        each for each in metrics.exposition().decode().splitlines() if each.startswith(f"{name} ")
    )
    return line.rpartition(" ")[2]


DAMAGED = 'flk_scrub_problems{kind="ledger_damaged"}'


def test_it_reads_at_its_rate_and_counts_what_it_read() -> None:
    looks, metrics = Looks(), Metrics()
    assert scrubbed(looks, metrics).is_sound
    assert looks.times == pytest.approx([2.0 * n for n in range(10)])
    assert sample(metrics, "flk_scrub_bytes_total") == "1000.0"
    assert sample(metrics, "flk_scrub_last_finished_seconds") == "77.0"
    assert sample(metrics, DAMAGED) == "0.0"


def test_a_problem_counts_only_if_a_second_reading_finds_it() -> None:
    metrics = Metrics()
    looks = Looks(["moved", "flipped"], ["flipped", "under way"])
    assert [each.what for each in scrubbed(looks, metrics).problems] == ["flipped"]
    assert len(looks.times) == 20
    assert sample(metrics, DAMAGED) == "1.0"
    assert scrubbed(Looks(["moved"], []), metrics).is_sound
    assert sample(metrics, DAMAGED) == "0.0"


def test_it_lets_requests_go_first_but_never_stops_for_good() -> None:
    looks = Looks()
    scrubbed(looks, Metrics(), busy_until_s=1e9)
    gaps = {round(later - at, 3) for at, later in zip(looks.times, looks.times[1:], strict=False)}
    assert gaps == {2.0 + PAUSED_S_MAX}


def test_it_begins_again_after_its_interval_whatever_it_met() -> None:
    def broken(_: Report) -> Iterator[int]:
        raise AssertionError("a defect")

    looks, metrics = Looks(), Metrics()
    readings: list[Look] = [broken, looks, looks]

    def look(report: Report) -> Iterator[int]:
        return readings.pop(0)(report)

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(InlineExecutor())
        made = scrubber(looks, metrics)
        made._look = look
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(made.run(), 3_000)

    run_virtual(main())
    assert readings == []
    assert looks.times[0] == pytest.approx(60 + 1_000)
    assert looks.times[10] == pytest.approx(60 + 1_000 + 20 + 1_000)


def test_a_rate_of_nothing_reads_nothing() -> None:
    looks = Looks()
    run_virtual(scrubber(looks, Metrics(), rate=0).run())
    assert looks.times == []
