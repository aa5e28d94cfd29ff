"""Log lines: one JSON object each, on stderr.

Only named fields are written. A message is a fixed sentence; what varies stands in fields, and a
field that is not on the list below is left out, so that a payload or a key handed to a logger by
mistake ends here.
"""

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from typing import Final, TextIO

from typing_extensions import override

from fractal_lba.protocol.timestamps import format_timestamp

FIELDS: Final = (
    "pcs_id",
    "tenant",
    "status",
    "code",
    "replayed",
    "duration_ms",
    "received_at",
    "stream",
    "seq",
    "count",
    "error",
    "frames",
    "torn_bytes",
    "damage",
    "url",
    "address",
    "path",
    "signal",
    "version",
    "request_id",
    "outcomes",
    "sha256",
    "worker",
    "pid",
    "peer",
    "native",
)

_request_id: ContextVar[str] = ContextVar("request_id")


def about_request(request_id: str) -> None:
    """Let every line of the running task, and of the tasks it starts, carry ``request_id``."""
    _request_id.set(request_id)


class JsonFormatter(logging.Formatter):
    """Write a record as one JSON object with the fields of ``FIELDS`` that it carries.

    Args:
        worker: Stands in every line that names no other one.
    """

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = worker

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": format_timestamp(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if (request_id := _request_id.get(None)) is not None:
            line["request_id"] = request_id
        if self._worker is not None:
            line["worker"] = self._worker
        line.update({name: getattr(record, name) for name in FIELDS if hasattr(record, name)})
        if record.exc_info and record.exc_info[0] is not None:
            # The type and the places, not the message: that one may quote what it choked on.
            line["exception"] = record.exc_info[0].__name__
            line["stack"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line, default=str)


def configure(level: str, out: TextIO = sys.stderr, *, worker: int | None = None) -> None:
    """Send every log line of the process to ``out`` as JSON.

    Each is written with one call, so that those of several workers stand one below the other.
    """
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter(worker))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Its lines would name what a client sent.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
