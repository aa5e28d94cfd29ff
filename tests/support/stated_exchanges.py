"""The exchanges of ``http_exchanges.json``, with something that fits in place of each rule."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from golden_vectors import runner

CASES: list[dict[str, Any]] = json.loads(
    (runner.FOLDER / "http_exchanges.json").read_text(encoding="utf-8")
)["tests"]
OF_EACH_RULE = {
    "timestamp": "2026-11-21T06:00:00.000Z",
    "request_id": "0" * 32,
    "seconds": "7",
    "ledger": "shard-0",
    "number": "7",
    "cursor": "A" * 44,
    "detail": "body: expected this, got that",
    "growth": '{"data_bytes": 9, "room_bytes": 9, "bytes_per_second": -1, "full_in_seconds": null,'
    ' "index_bytes": 4, "index_bytes_per_second": 0, "index_bytes_in_a_day": 4}',
}


def text(pieces: list[dict[str, Any]]) -> str:
    """Return a stated text with something that fits in place of each rule."""
    return "".join(
        piece["text"] if "text" in piece else OF_EACH_RULE[piece["rule"]] for piece in pieces
    )


def exchanges() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Return each request's method and target, and its answer, with the case it stands in."""
    for case in CASES:
        both = zip(case["input"]["requests"], case["expected"]["answers"], strict=True)
        for pieces, answer in both:
            first = pieces[0]
            start = (
                first["text"]
                if "text" in first
                else base64.b64decode(first["base64"]).decode("latin-1")
            )
            words = [*start.partition("\r\n")[0].split(" "), "", ""]
            yield f"{case['tcId']}: {case['comment']}", words[0], words[1], answer
