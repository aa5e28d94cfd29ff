"""What supervisor and worker tell each other, at its longest."""

import asyncio
import socket

from fractal_lba.server.core.ring import SHARDS_MAX
from fractal_lba.server.supervisor.messages import (
    REASON_CHARACTERS_MAX,
    REASONS_MAX,
    News,
    Report,
    Told,
    WorkerState,
    open_orders,
    open_reports,
    shown,
)


def test_a_worker_reads_the_longest_news_of_as_many_workers_as_there_may_be() -> None:
    reasons = shown(["\x01" * (REASON_CHARACTERS_MAX + 1)] * (REASONS_MAX + 1))
    news = News(
        workers=tuple(
            WorkerState(worker=worker, is_up=True, restarts=2**63 - 1, reasons=reasons)
            for worker in range(SHARDS_MAX)
        )
    )
    told: list[Told] = []

    def take_no_report(_report: Report) -> None:
        pass

    async def tell() -> None:
        ours, theirs = socket.socketpair()
        is_over = asyncio.Event()

        def take(message: Told) -> None:
            told.append(message)
            is_over.set()

        worker = await open_orders(theirs, take, lost=is_over.set)
        supervisor = await open_reports(ours, take_no_report, lost=lambda: None)
        supervisor.send(news)
        await is_over.wait()
        worker.close()
        supervisor.close()

    asyncio.run(tell())
    assert told == [news]
