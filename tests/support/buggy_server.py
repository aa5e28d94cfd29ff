"""The real server with a bug: judging a record of the stream ``bug`` raises what nobody expects.

::

    python -m tests.support.buggy_server --config … --listen … [--setting VALUE]…
"""

import sys
from collections.abc import Mapping
from typing import Final

import uvloop
from tests.support.params_server import run, started_with

from fractal_lba.protocol.judge import CURRENT_PARAMS, Outcome, Params
from fractal_lba.protocol.record import Record
from fractal_lba.protocol.versions import AnyRecord, judge_any
from fractal_lba.server.core import judged

COMMAND: Final = [sys.executable, "-m", "tests.support.buggy_server"]
STREAM: Final = "bug"
SECRET: Final = "what the bug says"  # noqa: S105 - what no answer may repeat


def _judge(record: AnyRecord, in_force: Mapping[str, Params]) -> Outcome:
    if isinstance(record, Record) and record.shard_id == STREAM:
        raise ZeroDivisionError(SECRET)
    return judge_any(record, in_force)


if __name__ == "__main__":
    vars(judged)["judge_any"] = _judge
    _config, _options = started_with(sys.argv[1:])
    uvloop.run(run(_config, CURRENT_PARAMS, _options))
