"""Points in time on the wire: ``YYYY-MM-DDTHH:MM:SS.mmmZ``, and as milliseconds since 1970.

One spelling, so that equal times are equal bytes: UTC, three decimals, no leap second.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from fractal_lba.protocol.errors import ContractError

TIMESTAMP_MS_MAX: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z."""

_TEXT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_POINT_AT: Final = len("YYYY-MM-DDTHH:MM:SS")
_MILLISECOND: Final = timedelta(milliseconds=1)


def parse_timestamp(text: str) -> int:
    """Return the milliseconds since 1970-01-01T00:00:00.000Z.

    Raises:
        ContractError: Another spelling, no Gregorian date, or before 1970.
    """
    if _TEXT.fullmatch(text) is None:
        raise ContractError("timestamp: expected YYYY-MM-DDTHH:MM:SS.mmmZ, got another spelling")
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ContractError("timestamp: expected a Gregorian date, got no such day") from error
    if time < _EPOCH:
        raise ContractError("timestamp: expected a year from 1970 on, got an earlier one")
    return (time - _EPOCH) // _MILLISECOND


def format_timestamp(ms: int) -> str:
    """Return the text of a time given in milliseconds since 1970.

    Raises:
        ContractError: ``ms`` is outside 1970 … 9999.
    """
    if not 0 <= ms <= TIMESTAMP_MS_MAX:
        raise ContractError("timestamp: expected a time in 1970 … 9999, got one outside")
    seconds, left = divmod(ms, 1000)
    return f"{_text_of(seconds)}.{left:03d}Z"


@lru_cache(maxsize=64)
def _text_of(seconds: int) -> str:
    # Most of what is written at one time is of the same second.
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:_POINT_AT]
