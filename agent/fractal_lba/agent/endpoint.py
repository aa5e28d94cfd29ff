"""The metrics endpoint: ``GET /metrics`` for Prometheus, on an address of its own.

It holds counts and durations, no ids and nothing that was observed, and asks nobody who they are:
the address decides who can read it, the loopback unless another one is named.
"""

import asyncio
import contextlib
import errno
import re
from collections.abc import AsyncIterator, Callable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from fractal_lba.agent.measures import Kind, Meter
from fractal_lba.protocol import ContractError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[^\[\]:]+):(?P<port>[0-9]{1,5})", re.ASCII)
_PORT_MAX = 65_535

# An endpoint has nothing to finish: whoever reads it at the end comes again.
_END_S = 0.5


# A port that the agent before this one, or another program, has not given up yet.
_RETRY_S = 10.0
_MAY_PASS = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL})


class TakenError(ContractError):
    """Somebody else listens there, or the address is not this machine's yet."""


class _Collector(Collector):
    """The meter as the client library asks for it."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    @override
    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for sample in self._meter.samples():
            family = families.get(sample.name)
            if family is None:
                kind = CounterMetricFamily if sample.kind is Kind.COUNTER else GaugeMetricFamily
                family = families[sample.name] = kind(
                    sample.name, sample.meaning, labels=sorted(sample.labels)
                )
            family.add_metric(  # type: ignore[attr-defined] # both kinds have it, their base has not
                [sample.labels[name] for name in sorted(sample.labels)], sample.value
            )
        yield from families.values()


def exposition(meter: Meter) -> bytes:
    """Return the meter's numbers as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(_Collector(meter))
    return generate_latest(registry)


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; an IPv6 host stands in brackets.

    Raises:
        ContractError: It is no address.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > _PORT_MAX:
        raise ContractError(f"metrics: expected HOST:PORT, got {text!r}")
    return found["host"].strip("[]"), int(found["port"])


@contextlib.asynccontextmanager
async def serving(meter: Meter, address: tuple[str, int]) -> AsyncIterator[str]:
    """Answer ``GET /metrics`` for as long as the context lasts; gives the URL.

    Args:
        meter: What is shown.
        address: Host and port; port 0 takes a free one.

    Raises:
        TakenError: Somebody else listens there now.
        ContractError: Nothing can listen there.
    """
    host, port = address

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=exposition(meter), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_END_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            kind = TakenError if error.errno in _MAY_PASS else ContractError
            raise kind(
                f"metrics: expected an address to listen on, got {host}:{port}: {error.strerror}"
            ) from error
        bound_host, bound_port = runner.addresses[0][:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        yield f"http://{shown}:{bound_port}/metrics"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def serving_in_the_end(
    meter: Meter,
    address: tuple[str, int],
    *,
    say: Callable[[str], None],
    complain: Callable[[str], None],
    retry_s: float = _RETRY_S,
) -> AsyncIterator[None]:
    """Do as ``serving``; where somebody else has the address, try again until it is free.

    Args:
        meter: What is shown.
        address: Host and port; port 0 takes a free one.
        say: Told the URL.
        complain: Told that nothing is shown until the address is free.
        retry_s: Between two attempts.

    Raises:
        ContractError: Nothing will ever listen there.
    """
    async with contextlib.AsyncExitStack() as stack:

        async def begin() -> None:
            say(f"metrics on {await stack.enter_async_context(serving(meter, address))}")

        async def begin_later() -> None:
            while True:
                await asyncio.sleep(retry_s)
                with contextlib.suppress(TakenError):
                    return await begin()

        try:
            await begin()
        except TakenError as error:
            complain(f"{error}: goes on without metrics, tries again every {retry_s:g} s")
            trying = asyncio.create_task(begin_later())
            stack.push_async_callback(_ended, trying)
        yield


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
