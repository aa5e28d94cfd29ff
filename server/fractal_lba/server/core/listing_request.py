"""The parameters of a listing, each checked and refused by its name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from fractal_lba.protocol.errors import ContractError
from fractal_lba.protocol.timestamps import parse_timestamp
from fractal_lba.server.core.listing import EPOCH_MAX, REGIMES, Outcome, Query

ESCALATION_PARAMETERS = ("cursor", "limit")
LISTING_PARAMETERS = (
    "shard_id",
    "from_epoch",
    "to_epoch",
    "since",
    "outcome",
    "regime",
    *ESCALATION_PARAMETERS,
)

PAGE_DEFAULT = 100
PAGE_MAX = 1_000
SHARD_ID_BYTES_MAX = 128

_T = TypeVar("_T")
_SHOWN_MAX = 40
"""Of a wrong value: enough to find it by."""
_NS_PER_MS = 1_000_000
_EPOCH_DIGITS_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRequest:
    """A query, the cursor it goes on behind, and how many records a page has."""

    query: Query
    cursor: str | None
    limit: int


def parse_listing(parameters: Iterable[tuple[str, str]]) -> ListingRequest:
    """Return what the parameters of ``GET /v1/pcs`` ask for.

    Raises:
        ContractError: One of them is unknown, given twice or out of range; the message names it.
    """
    given = _once(parameters, LISTING_PARAMETERS)
    query = Query(
        shard_id=_taken(given, "shard_id", _shard_id),
        from_epoch=_taken(given, "from_epoch", _epoch),
        to_epoch=_taken(given, "to_epoch", _epoch),
        since_ns=_taken(given, "since", _since),
        outcome=_taken(given, "outcome", _outcome),
        regime=_taken(given, "regime", _regime),
    )
    if (
        query.from_epoch is not None
        and query.to_epoch is not None
        and query.from_epoch > query.to_epoch
    ):
        raise ContractError("to_epoch: expected from_epoch or more, got less")
    return _request(given, query)


def parse_escalations(parameters: Iterable[tuple[str, str]]) -> ListingRequest:
    """Return what the parameters of ``GET /v1/escalations`` ask for.

    Raises:
        ContractError: As for ``parse_listing``.
    """
    given = _once(parameters, ESCALATION_PARAMETERS)
    return _request(given, Query(is_open_escalation=True))


def _once(parameters: Iterable[tuple[str, str]], known: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parameters:
        if name not in known:
            raise ContractError(
                f"parameters: expected none but {', '.join(known)}, got another one"
            )
        if name in given:
            raise ContractError(f"{name}: expected it once, got it twice")
        given[name] = value
    return given


def _request(given: dict[str, str], query: Query) -> ListingRequest:
    limit = _taken(given, "limit", _limit)
    return ListingRequest(
        query=query,
        cursor=given.get("cursor"),
        limit=PAGE_DEFAULT if limit is None else limit,
    )


def _taken(given: dict[str, str], name: str, read: Callable[[str], _T]) -> _T | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        return read(value)
    except ValueError as error:
        came = value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}…"
        raise ContractError(f"{name}: expected {error}, got {came!a}") from error


def _shard_id(value: str) -> str:
    if not 1 <= len(value.encode(errors="surrogatepass")) <= SHARD_ID_BYTES_MAX:
        raise ValueError(f"1 to {SHARD_ID_BYTES_MAX} bytes")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("UTF-8") from error
    return value


def _epoch(value: str) -> int:
    return _whole(value, 0, EPOCH_MAX)


def _limit(value: str) -> int:
    return _whole(value, 1, PAGE_MAX)


def _whole(value: str, least: int, most: int) -> int:
    is_number = value.isascii() and value.isdecimal() and len(value) <= _EPOCH_DIGITS_MAX
    if not is_number or not least <= int(value) <= most:
        raise ValueError(f"a whole number from {least} to {most}")
    return int(value)


def _since(value: str) -> int:
    try:
        return parse_timestamp(value) * _NS_PER_MS
    except ContractError as error:
        raise ValueError("a time like 2026-11-01T12:00:00.000Z") from error


def _outcome(value: str) -> Outcome:
    if value not in tuple(Outcome):
        raise ValueError(f"one of {', '.join(Outcome)}")
    return Outcome(value)


def _regime(value: str) -> str:
    if value not in REGIMES:
        raise ValueError(f"one of {', '.join(REGIMES)}")
    return value
