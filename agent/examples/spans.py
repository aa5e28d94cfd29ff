"""Hooks as a tracer wants them: a span for each thing the agent does, begun and ended.

With OpenTelemetry ``start`` returns ``tracer.start_span(event, attributes=dict(attributes))``, and
``end`` calls ``set_attributes``, ``record_exception`` where there is one, and ``end`` on it.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Mapping

import numpy as np

from fractal_lba.agent import Agent, Event


class Spans:
    """Prints a line where a span ends."""

    def start(self, event: Event, attributes: Mapping[str, str | float | bool], /) -> object:
        """Begin a span."""
        del attributes
        return event, time.perf_counter()

    def end(
        self,
        started: object,
        attributes: Mapping[str, str | float | bool],
        error: BaseException | None,
        /,
    ) -> None:
        """End it."""
        match started:
            case (Event() as event, float(begun_s)):
                ended = "failed" if error else "done"
                took_ms = (time.perf_counter() - begun_s) * 1000
                print(f"{event} {ended} in {took_ms:.1f} ms, {len(attributes)} attributes")


async def main(data: str, url: str, keyring: str) -> None:
    """Observe a window under a trace id, which the record carries in its ``meta``."""
    async with Agent(
        data=data, url=url, keyring=keyring, shard_id="traced", hooks=Spans()
    ) as agent:
        points = np.random.default_rng(3).normal(size=(64, 2))
        await agent.observe(points, trace_id=secrets.token_hex(16))
        await agent.flush(deadline_s=30.0)


if __name__ == "__main__":
    if len(sys.argv) != 4:  # noqa: PLR2004 - the program and what main takes
        sys.exit(f"usage: {sys.argv[0]} FOLDER URL KEYRING")
    asyncio.run(main(*sys.argv[1:]))
