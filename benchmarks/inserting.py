"""What each alternative is asked to do."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """So many records of one body in all, at so many connections, so many records at a time."""

    records: int
    connections: int
    batch: int
    body: bytes


Insert = Callable[[Load], float]
"""Runs a load and returns its records a second."""
