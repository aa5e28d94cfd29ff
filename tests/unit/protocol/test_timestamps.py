"""Timestamps: one spelling, real dates, and the way back."""

from datetime import UTC, datetime

import pytest

from fractal_lba.protocol import ContractError, format_timestamp, parse_timestamp
from fractal_lba.protocol.timestamps import TIMESTAMP_MS_MAX

KNOWN = {
    "1970-01-01T00:00:00.000Z": 0,
    "1970-01-01T00:00:00.001Z": 1,
    "2000-02-29T12:34:56.789Z": 951_827_696_789,
    "2026-11-21T06:00:00.123Z": 1_795_240_800_123,
    "9999-12-31T23:59:59.999Z": TIMESTAMP_MS_MAX,
}


@pytest.mark.parametrize("text", KNOWN)
def test_text_and_milliseconds_are_inverses(text: str) -> None:
    assert parse_timestamp(text) == KNOWN[text]
    assert format_timestamp(KNOWN[text]) == text


def test_the_known_ones_agree_with_the_standard_library() -> None:
    for text, ms in KNOWN.items():
        time = datetime.fromisoformat(text)
        assert time == datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


REFUSED = {
    "no fraction": "2026-11-21T06:00:00Z",
    "two decimals": "2026-11-21T06:00:00.12Z",
    "four decimals": "2026-11-21T06:00:00.1234Z",
    "a comma": "2026-11-21T06:00:00,123Z",
    "an offset": "2026-11-21T06:00:00.123+00:00",
    "no zone": "2026-11-21T06:00:00.123",
    "lower-case z": "2026-11-21T06:00:00.123z",
    "lower-case t": "2026-11-21t06:00:00.123Z",
    "a space": "2026-11-21 06:00:00.123Z",
    "a line end behind": "2026-11-21T06:00:00.123Z\n",
    "a space before": " 2026-11-21T06:00:00.123Z",
    "basic form": "20261121T060000.123Z",
    "a week date": "2026-W47-6T06:00:00.123Z",
    "five digits of a year": "12026-11-21T06:00:00.123Z",
    "a signed year": "+2026-11-21T06:00:00.123Z",
    "digits of another script": "٢٠٢٦-11-21T06:00:00.123Z",
    "before 1970": "1969-12-31T23:59:59.999Z",
    "year 0": "0000-01-01T00:00:00.000Z",
    "month 0": "2026-00-21T06:00:00.123Z",
    "month 13": "2026-13-21T06:00:00.123Z",
    "day 0": "2026-11-00T06:00:00.123Z",
    "31 November": "2026-11-31T06:00:00.123Z",
    "29 February 2100": "2100-02-29T06:00:00.123Z",
    "30 February": "2024-02-30T06:00:00.123Z",
    "hour 24": "2026-11-21T24:00:00.000Z",
    "minute 60": "2026-11-21T06:60:00.000Z",
    "second 60": "2016-12-31T23:59:60.000Z",
    "nothing": "",
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_text_is_refused(case: str) -> None:
    with pytest.raises(ContractError):
        parse_timestamp(REFUSED[case])


@pytest.mark.parametrize("ms", [-1, TIMESTAMP_MS_MAX + 1])
def test_a_time_outside_has_no_text(ms: int) -> None:
    with pytest.raises(ContractError):
        format_timestamp(ms)
