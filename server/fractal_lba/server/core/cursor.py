"""Cursors: a place in a listing, sealed, so that only what this server gave comes back.

``base64url(version, epoch u64, number u64, seal)``, without padding; the seal is the first 16
bytes of an HMAC-SHA256 over the tenant, the query and the place. It holds nothing that moves: not
over a restart, a rebuilt index or a recovery.
"""

import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.core.listing import Query, Spot

_PLACE = struct.Struct(">BQQ")
_VERSION = 1
_SEAL_BYTES = 16
_TEXT_LENGTH = 44
_KEY_DOMAIN = b"fractal-lba/cursor/1\n"


class Cursors:
    """Writes and reads the cursors of one data folder.

    Args:
        data_id: The folder's own: another folder's numbers mean other records.
    """

    def __init__(self, data_id: str) -> None:
        self._key = hashlib.sha256(_KEY_DOMAIN + data_id.encode()).digest()

    def write(self, spot: Spot, *, tenant: str, query: Query) -> str:
        """Return the cursor behind a place."""
        place = _PLACE.pack(_VERSION, spot.epoch, spot.seq)
        return urlsafe_b64encode(place + self._seal(place, tenant, query)).decode().rstrip("=")

    def read(self, text: str, *, tenant: str, query: Query) -> Spot:
        """Return the place behind which a listing goes on.

        Raises:
            ContractError: No cursor of this server, this tenant and this query.
        """
        refusal = ContractError(
            "cursor: expected one that this listing gave, with the same parameters, got another"
        )
        if len(text) != _TEXT_LENGTH or not text.isascii():
            raise refusal
        try:
            data = urlsafe_b64decode(text)
        except ValueError as error:
            raise refusal from error
        if urlsafe_b64encode(data).decode() != text:
            raise refusal  # the decoder also takes + and /, and passes over what it does not know
        place, seal = data[: _PLACE.size], data[_PLACE.size :]
        if not hmac.compare_digest(seal, self._seal(place, tenant, query)):
            raise refusal
        _, epoch, seq = _PLACE.unpack(place)
        return Spot(epoch, seq)

    def _seal(self, place: bytes, tenant: str, query: Query) -> bytes:
        sealed = msgspec.msgpack.encode((tenant, query.identity(), place))
        return hmac.digest(self._key, sealed, "sha256")[:_SEAL_BYTES]
