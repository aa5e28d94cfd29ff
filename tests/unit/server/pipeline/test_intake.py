"""What a batch of refusals keeps while it waits: why, and nothing of what was parsed."""

import asyncio
import traceback
from pathlib import Path
from typing import Any, cast

from tests.support.signed import ACME

from fractal_lba.protocol.errors import Refusal
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.versions import IN_FORCE
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.pipeline.intake import Intake
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.pipeline.verify import Piece
from fractal_lba.server.ports import InboxFrame
from fractal_lba.wal.group_commit import Bounds

ROOM = Bounds(items_max=8, bytes_max=1 << 20, queue_items_max=8, queue_bytes_max=1 << 20)
REFUSED = (
    b"{",
    b'{"a":[{},{}],"a":1}',
    b'{"version":"1.0"}',
    b'{"version":"0.1"}',
    b"\xff",
    b"[1]",
)


class NothingKnown:
    """No body is poison."""

    suspects: frozenset[int] = frozenset()

    def is_poison(self, _body: bytes) -> bool:
        return False


async def refusals() -> list[object]:
    keyring = Keyring(keys={ACME.kid: ACME.key}, tokens={})
    unused = cast("Any", None)
    intake = Intake(
        inbox=unused,
        decisions=unused,
        keyring=lambda: keyring,
        params=IN_FORCE,
        policies=Policies(),
        clock=lambda: 0,
        meter=unused,
        judging=cast("Any", NothingKnown()),
        bounds=ROOM,
        pace=Pace(1),
        left_open_max=8,
    )
    frame = InboxFrame(seq=1, received_ns=0, body=b"", received=Received())
    try:
        return list(await intake.verify([Piece(REFUSED, frame, is_recovered=False)]))
    finally:
        await intake.close()


def test_a_refusal_that_waits_holds_no_frame_of_its_parser() -> None:
    for refusal in asyncio.run(refusals()):
        assert isinstance(refusal, Refusal)
        frames = traceback.extract_tb(refusal.__traceback__)
        assert [frame for frame in frames if "protocol" in Path(frame.filename).parts] == []
        assert refusal.__cause__ is None
        assert refusal.__context__ is None
        assert refusal.reason
