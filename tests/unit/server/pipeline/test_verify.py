"""Where records are verified: natively or in Python, in the thread of a lane."""

import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from tests.support.checked_twice import needs_native
from tests.support.signed import ACME, ACME_NEXT, body

from fractal_lba.protocol.errors import Refusal
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.versions import IN_FORCE
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.run import Verified
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.pipeline import verify
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.pipeline.verify import Piece, Verifier
from fractal_lba.server.ports import InboxFrame
from fractal_lba.wal.group_commit import Bounds

pytestmark = pytest.mark.asyncio

RING = Keyring(keys={key.kid: key for key in (ACME.key, ACME_NEXT.key)}, tokens={})
KNOWN, NOBODY = Received(identified_tenant="acme"), Received()


@pytest_asyncio.fixture
async def verifier() -> AsyncIterator[Verifier]:
    made = Verifier(
        keyring=lambda: RING,
        params=IN_FORCE,
        policies=Policies(),
        bounds=Bounds(
            items_max=64, bytes_max=1 << 20, queue_items_max=999, queue_bytes_max=1 << 24
        ),
        pace=Pace(1.0),
    )
    yield made
    await made.close()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Return the threads that a record was verified in, whichever way."""
    seen: set[int] = set()

    def noted(*fields: Any) -> Verified:  # noqa: ANN401 - as it is called
        seen.add(threading.get_ident())
        return Verified(*fields)

    monkeypatch.setattr(verify, "Verified", noted)
    return seen


async def verified(
    verifier: Verifier, bodies: Sequence[bytes], received: Received
) -> list[int | str]:
    """Return the epoch of each that verified, or why it was refused."""
    frame = InboxFrame(seq=1, received_ns=7, received=received, body=b"")
    ends = await verifier.verify([Piece([each], frame, is_recovered=False) for each in bodies])
    return [
        end.epoch
        if isinstance(end, Verified)
        else end.reason
        if isinstance(end, Refusal)
        else "bug"
        for end in ends
    ]


@pytest.mark.parametrize("received", [KNOWN, NOBODY])
@pytest.mark.parametrize("count", [3, 30])
async def test_what_native_code_leaves_is_verified_or_refused_in_python(
    verifier: Verifier, received: Received, count: int
) -> None:
    spaced, forged = b" " + body(count + 1), body(count + 2).replace(b'"n":64', b'"n":65')
    bodies = [*(body(epoch) for epoch in range(1, count + 1)), spaced, forged]
    if received is NOBODY:
        bodies = bodies[-2:]
    expected = [*range(1, count + 2), "signature_mismatch"][-len(bodies) :]
    assert await verified(verifier, bodies, received) == expected


@needs_native
async def test_what_native_code_takes_is_verified_in_a_lane(
    verifier: Verifier, threads: set[int]
) -> None:
    assert await verified(verifier, [body(epoch) for epoch in range(99)], KNOWN) == [*range(99)]
    assert await verified(verifier, [body(7)], NOBODY) == [7]
    assert threads
    assert threading.get_ident() not in threads
