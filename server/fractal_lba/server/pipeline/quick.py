"""Verify and judge a run natively, as far as that goes: what it leaves is verified in Python.

The rule: the quick way only ever says yes, and only to what `authenticate` and `judged` take, with
the same values.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fractal_lba.native import NATIVE
from fractal_lba.protocol.judge import Params
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.record import VERSION
from fractal_lba.protocol.verifying_ring import verifying_keys, verifying_ring
from fractal_lba.server.core.known import family_of

if TYPE_CHECKING:
    from fractal_lba.native._core import Checker, Fields

_log = logging.getLogger(__name__)


class Quick:
    """Checks runs, each under the ring of its moment; may be called from several threads.

    Args:
        params: What records of each version are judged by.
    """

    def __init__(self, params: Mapping[str, Params]) -> None:
        judges = NATIVE is not None and _values(params[VERSION]) == NATIVE.PARAMS
        self._native = NATIVE if judges else None
        self._made: tuple[Keyring, Checker | None] | None = None

    def check(self, bodies: Sequence[bytes], keyring: Keyring) -> "Sequence[Fields | None]":
        """Return for each body what `judged` says of it, or None: then that is to be asked.

        The fields are those of ``Verified``, in their order, but for how the body came.
        """
        made = self._made
        if made is None or made[0] is not keyring:
            made = self._made = (keyring, self._checker(keyring))
        _, checker = made
        if checker is None:
            return [None] * len(bodies)
        try:
            return checker.check(bodies)
        except RuntimeError as error:
            _log.error("native code failed", extra={"error": str(error)})
            return [None] * len(bodies)

    def _checker(self, keyring: Keyring) -> "Checker | None":
        if self._native is None:
            return None
        keys = verifying_keys(keyring)
        times = {key.kid: (key.tenant, key.not_before_ms, key.not_after_ms) for key in keys}
        try:
            return self._native.Checker(verifying_ring(keys), times, family_of(VERSION) or "")
        except ValueError as error:
            _log.warning("native code is not used for this keyring", extra={"error": str(error)})
            return None


def _values(params: Params) -> tuple[str, float, float]:
    return params.version, params.tol_d, params.tol_budget
