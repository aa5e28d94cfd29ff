"""Records as they come to whoever decides: verified and judged."""

from typing import Any, Final

from tests.support.signed import ACME, body

from fractal_lba.protocol.authenticate import Authenticated, authenticate
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.versions import IN_FORCE
from fractal_lba.server.core.judged import judged
from fractal_lba.server.core.run import Verified

RING: Final = Keyring(keys={ACME.kid: ACME.key}, tokens={})


def authenticated(epoch: int = 1, **changes: Any) -> Authenticated:  # noqa: ANN401 - any member
    """Return a record of `ACME`'s, with some members changed."""
    return authenticate(body(epoch, **changes), RING)


def verified(
    epoch: int = 1,
    *,
    received_ns: int = 7,
    is_recovered: bool = False,
    **changes: Any,  # noqa: ANN401 - any member
) -> Verified:
    """Return a record of `ACME`'s, with some members changed, judged as it would be today."""
    return judged(
        authenticated(epoch, **changes),
        IN_FORCE,
        received_ns=received_ns,
        is_recovered=is_recovered,
    )
