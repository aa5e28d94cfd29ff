"""The metrics endpoint: ``GET /metrics`` for Prometheus, on an address of its own.

It holds counts and durations, no ids and nothing that was observed, and asks nobody who they are:
the address decides who can read it, the loopback unless another one is named.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Iterator

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
            raise ContractError(
                f"metrics: expected an address to listen on, got {host}:{port}: {error.strerror}"
            ) from error
        bound_host, bound_port = runner.addresses[0][:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        yield f"http://{shown}:{bound_port}/metrics"
    finally:
        await runner.cleanup()
