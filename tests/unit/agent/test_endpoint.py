"""The metrics endpoint: what it shows, where it listens."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession

from fractal_lba.agent.endpoint import exposition, parse_address, serving, serving_in_the_end
from fractal_lba.agent.measures import Kind, Meter, Sample
from fractal_lba.agent.tally import Tally
from fractal_lba.agent.verdict import Fate
from fractal_lba.protocol import ContractError


class Counting:
    def samples(self) -> Iterator[Sample]:
        for shape, value in (("round", 2.0), ("square", 3.0)):
            yield Sample(
                name="flk_agent_pegs_total",
                kind=Kind.COUNTER,
                meaning="Pegs.",
                value=value,
                labels={"shape": shape},
            )
        yield Sample(name="flk_agent_holes", kind=Kind.GAUGE, meaning="Holes.", value=-1.5)


def counting() -> Meter:
    meter = Meter()
    meter.register(Counting())
    return meter


def test_samples_are_shown_under_their_names_with_their_labels() -> None:
    assert exposition(counting()).decode().splitlines() == [
        "# HELP flk_agent_pegs_total Pegs.",
        "# TYPE flk_agent_pegs_total counter",
        'flk_agent_pegs_total{shape="round"} 2.0',
        'flk_agent_pegs_total{shape="square"} 3.0',
        "# HELP flk_agent_holes Holes.",
        "# TYPE flk_agent_holes gauge",
        "flk_agent_holes -1.5",
    ]


def test_a_tally_is_shown_as_it_stands() -> None:
    tally = Tally(say=lambda _text: None)
    meter = Meter()
    meter.register(tally)
    tally.windows = tally.pending = 2
    tally.answered(Fate.ESCALATED, is_replayed=True, after_s=0.1)
    shown = exposition(meter).decode()
    for line in (
        "flk_agent_windows_observed_total 2.0",
        'flk_agent_windows_answered_total{fate="accepted"} 0.0',
        'flk_agent_windows_answered_total{fate="escalated"} 1.0',
        "flk_agent_repeats_total 1.0",
        "flk_agent_windows_pending 1.0",
    ):
        assert line in shown.splitlines()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "9464", ":9464", "::1:9464", "h:65536", "h:٣", "h:-1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match="metrics: expected HOST:PORT"):
        parse_address(text)


def test_it_answers_one_path_and_ends_with_its_context() -> None:
    async def main() -> None:
        async with serving(counting(), ("127.0.0.1", 0)) as url, ClientSession() as client:
            async with client.get(url) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                assert b"flk_agent_holes -1.5" in await answer.read()
            async with client.get(url.removesuffix("metrics")) as answer:
                assert answer.status == 404
            port = int(url.rsplit(":", 1)[1].removesuffix("/metrics"))
            with pytest.raises(ContractError, match="expected an address to listen on"):
                async with serving(Meter(), ("127.0.0.1", port)):
                    pass
        async with serving(Meter(), ("127.0.0.1", port)) as again:
            assert again == url

    asyncio.run(main())


def test_an_address_that_somebody_else_has_is_taken_once_it_is_free() -> None:
    said: list[str] = []
    complaints: list[str] = []
    is_said = asyncio.Event()

    def say(text: str) -> None:
        said.append(text)
        is_said.set()

    async def main() -> str:
        async with contextlib.AsyncExitStack() as others:
            url = await others.enter_async_context(serving(Meter(), ("127.0.0.1", 0)))
            port = int(url.rsplit(":", 1)[1].removesuffix("/metrics"))
            waiting = serving_in_the_end(
                counting(), ("127.0.0.1", port), say=say, complain=complaints.append, retry_s=0.01
            )
            async with waiting, ClientSession() as client:
                assert said == []
                assert "expected an address to listen on" in complaints[0]
                await others.aclose()
                await is_said.wait()
                async with client.get(url) as answer:
                    assert b"flk_agent_holes -1.5" in await answer.read()
        async with serving(Meter(), ("127.0.0.1", port)):
            pass  # it is free again
        return url

    url = asyncio.run(main())
    assert said == [f"metrics on {url}"]
    assert len(complaints) == 1


def test_an_address_that_nobody_can_ever_have_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(ContractError, match="expected an address to listen on"):
            async with serving_in_the_end(
                Meter(), ("no.such.host.invalid", 1), say=print, complain=print
            ):
                pass

    asyncio.run(main())
