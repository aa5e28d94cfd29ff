"""Hooks: where a tracer or a profile is told what an agent does, when it begins and when it ends.

Shaped so that a tracer's span fits (OpenTelemetry's ``start_span``, ``set_attributes``, ``end``),
without depending on one: attributes are strings, numbers and booleans, names are dotted. A hook
that raises is logged, and what it watched goes on. Attributes hold ids, counts and statuses, never
what was observed.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from fractal_lba.agent.ports import Server
from fractal_lba.client import Answer, BatchAnswer

Attribute = str | int | float | bool

_LOG = logging.getLogger("fractal_lba.agent")


class Event(StrEnum):
    """What is told; the span's name."""

    OBSERVE = (
        "fractal_lba.observe"  # summarise, sign and keep a window, or several at hand together
    )
    APPEND = "fractal_lba.append"  # their records into the outbox, durable at the end
    SEND = "fractal_lba.send"  # one request to the server, of one window or of several


class Hooks(Protocol):
    """Is told of events, on the agent's event loop: it must return at once."""

    def start(self, event: Event, attributes: Mapping[str, Attribute], /) -> object:
        """Return anything; ``end`` gets it back. The spans of one task end in reverse order."""

    def end(
        self,
        started: object,
        attributes: Mapping[str, Attribute],
        error: BaseException | None,
        /,
    ) -> None:
        """Take what was known at the end, and what ended it early, if anything did."""


class Silent:
    """Hooks that nobody set."""

    def start(self, _event: Event, _attributes: Mapping[str, Attribute], /) -> object:
        """See ``Hooks``."""
        return None

    def end(
        self,
        _started: object,
        _attributes: Mapping[str, Attribute],
        _error: BaseException | None,
        /,
    ) -> None:
        """See ``Hooks``."""


@contextlib.contextmanager
def span(
    hooks: Hooks, event: Event, attributes: Mapping[str, Attribute]
) -> Iterator[dict[str, Attribute]]:
    """Tell hooks where something begins and ends; what is put into the dictionary comes with it."""
    found: dict[str, Attribute] = {}
    started: object = None
    is_started = False
    with logged(f"hook start of {event}"):
        started = hooks.start(event, attributes)
        is_started = True
    error: BaseException | None = None
    try:
        yield found
    except BaseException as raised:
        error = raised
        raise
    finally:
        if is_started:
            with logged(f"hook end of {event}"):
                hooks.end(started, found, error)


@contextlib.contextmanager
def logged(what: str) -> Iterator[None]:
    """Log an exception of code that the caller of the agent gave, and go on.

    So too where it exits or meets a cancelled future: it was called without an await, and neither
    ends the agent. An interruption is the program's where it arrives, in the main thread alone.

    With its traceback: that code was given ids and counts alone, so that it holds nothing else of
    the agent's.
    """
    try:
        yield
    except (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
        is_main = threading.current_thread() is threading.main_thread()
        if isinstance(error, KeyboardInterrupt) and is_main:
            raise
        _LOG.warning(
            "%s: expected no exception, got %s", what, type(error).__name__, exc_info=error
        )


class TracedServer:
    """A server whose requests are told to hooks."""

    def __init__(self, server: Server, hooks: Hooks) -> None:
        self._server = server
        self._hooks = hooks

    async def submit(self, body: bytes) -> Answer:
        """See ``Server``."""
        with span(self._hooks, Event.SEND, {"windows": 1, "bytes": len(body)}) as found:
            answer = await self._server.submit(body)
            found["status"] = answer.status
            return answer

    async def batch(self, bodies: Sequence[bytes]) -> BatchAnswer:
        """See ``Server``."""
        size = sum(map(len, bodies))
        with span(self._hooks, Event.SEND, {"windows": len(bodies), "bytes": size}) as found:
            answer = await self._server.batch(bodies)
            found["status"] = 200 if answer.refusal is None else answer.refusal.status
            return answer
