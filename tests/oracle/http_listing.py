"""What a listing asks for: its parameters, and the records they choose, in their order."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from tests.oracle.http_message import Request
from tests.oracle.http_texts import Problem
from tests.oracle.record_rules import REGIMES, SAFE, timestamp
from tests.oracle.refusal import Refused

OUTCOMES = {"accepted": 200, "escalated": 202, "not_accepted": 422}


class Listed(Protocol):
    record: dict[str, Any]
    status: int


K = TypeVar("K", bound=Listed)


def parameters_of(request: Request, *, is_open: bool) -> dict[str, str]:
    """Return the parameters, each of which is known, stands once and is in its range."""
    names = ["cursor", "limit"]
    if not is_open:
        names += ["shard_id", "from_epoch", "to_epoch", "since", "outcome", "regime"]
    asked: dict[str, str] = {}
    for name, value in request.parameters:
        if name not in names or name in asked or not is_sound(name, value):
            raise Problem("bad_request")
        asked[name] = value
    return asked


def is_sound(name: str, value: str) -> bool:
    if name in ("from_epoch", "to_epoch"):
        return value.isdigit() and int(value) <= SAFE
    if name == "limit":
        return value.isdigit() and 1 <= int(value) <= 1_000
    if name == "since":
        try:
            timestamp(value, name)
        except Refused:
            return False
    if name == "cursor":
        return len(value) == 44
    sets = {"outcome": tuple(OUTCOMES), "regime": REGIMES}
    return name not in sets or value in sets[name]


def chosen(known: Sequence[K], asked: dict[str, str]) -> list[K]:
    """Return what is asked for; ``known`` is in the order of decision."""
    found = []
    for each in known:
        epoch = int(each.record["epoch"])
        # What was received in the year 9999 or later is nothing.
        holds = "since" not in asked
        holds = holds and asked.get("shard_id", each.record["shard_id"]) == each.record["shard_id"]
        holds = holds and int(asked.get("from_epoch", 0)) <= epoch
        holds = holds and epoch <= int(asked.get("to_epoch", SAFE))
        holds = holds and OUTCOMES.get(asked.get("outcome", ""), each.status) == each.status
        holds = holds and asked.get("regime", each.record["regime"]) == each.record["regime"]
        if holds:
            found.append(each)
    if "shard_id" in asked:
        found.sort(key=lambda each: int(each.record["epoch"]))
    return found
