"""A body checked natively and in Python, under one ring."""

from typing import Final

import pytest
from tests.support.records import KEYRING

from fractal_lba.native import NATIVE, WHY_NOT
from fractal_lba.protocol import Refusal
from fractal_lba.protocol.authenticate import authenticate
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.versions import IN_FORCE
from fractal_lba.server.core.judged import judged
from fractal_lba.server.core.run import Verified
from fractal_lba.server.pipeline.quick import Quick

needs_native = pytest.mark.skipif(NATIVE is None, reason=f"no native code: {WHY_NOT}")

RECEIVED_NS: Final = 1_795_240_801_000_000_000
QUICK: Final = Quick(IN_FORCE)


def in_python(body: bytes, keyring: Keyring = KEYRING) -> Verified | None:
    """Return what Python says of a body, None where it refuses it."""
    try:
        authenticated = authenticate(body, keyring)
    except Refusal:
        return None
    return judged(authenticated, IN_FORCE, received_ns=RECEIVED_NS, is_recovered=False)


def natively(bodies: list[bytes], keyring: Keyring = KEYRING) -> list[Verified | None]:
    """Return what native code says of each body of a run."""
    found = QUICK.check(bodies, keyring)
    return [None if each is None else Verified(*each, RECEIVED_NS, False) for each in found]  # noqa: FBT003 - its last member


def agree(bodies: list[bytes], keyring: Keyring = KEYRING) -> list[bool]:
    """Check that native code says nothing that Python does not; return where it says anything."""
    said = natively(bodies, keyring)
    for body, found in zip(bodies, said, strict=True):
        if found is not None:
            # Equal values may be of two types.
            assert repr(found) == repr(in_python(body, keyring))
    return [found is not None for found in said]
