"""Measures: the numbers of a running agent, for whoever exposes them.

Whatever counts something implements ``Measured`` and is registered with the run's ``Meter``; the
endpoint asks for all of them when it is asked. Names are those that are scraped: counters end in
``_total``, units come last.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What a number may do."""

    COUNTER = "counter"  # only grows, from 0 with each start of the agent
    GAUGE = "gauge"  # goes up and down


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number.

    Attributes:
        name: ``flk_agent_…``; of a counter with ``_total``.
        kind: Counter or gauge; the same for every sample of the name.
        meaning: One sentence; the same for every sample of the name.
        value: The number now.
        labels: Tell samples of one name apart; each has the same label names. Never an id: the
            number of series is bounded by what the code names.
    """

    name: str
    kind: Kind
    meaning: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class Measured(Protocol):
    """Something that counts."""

    def samples(self) -> Iterable[Sample]:
        """Return its numbers now; called on the agent's event loop, does no I/O."""


class Meter:
    """Everything that counts in one run."""

    def __init__(self) -> None:
        self._measured: list[Measured] = []

    def register(self, measured: Measured) -> None:
        """Add something that counts."""
        self._measured.append(measured)

    def samples(self) -> Iterator[Sample]:
        """Yield the numbers of all that was registered, in that order."""
        for measured in self._measured:
            yield from measured.samples()
