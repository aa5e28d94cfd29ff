"""Cursors: a place in a listing, sealed, so that only what this server gave comes back.

``base64url(version, then epoch u64 and number u64 for each shard, seal)``, without padding; the
shards are those of the folder, in their order, and the seal is the first 16 bytes of an HMAC-SHA256
over the tenant, the query and the place. It holds nothing that moves: not over a restart, a rebuilt
index or a recovery.
"""

import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

import msgspec

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.core.listing import BEGIN, Bookmark, Query, Spot

_VERSION = b"\x01"
_SPOT = struct.Struct(">QQ")
_SEAL_BYTES = 16
_KEY_DOMAIN = b"fractal-lba/cursor/1\n"


class Cursors:
    """Writes and reads the cursors of one data folder.

    Args:
        data_id: The folder's own: another folder's numbers mean other records.
        shards: The names of its shards, in their order.
    """

    def __init__(self, data_id: str, shards: Sequence[str]) -> None:
        self._shards = tuple(shards)
        self._place_bytes = len(_VERSION) + len(self._shards) * _SPOT.size
        self._key = hashlib.sha256(_KEY_DOMAIN + data_id.encode()).digest()

    def write(self, after: Bookmark, *, tenant: str, query: Query) -> str:
        """Return the cursor behind a place."""
        spots = (after.get(shard, BEGIN) for shard in self._shards)
        place = _VERSION + b"".join(_SPOT.pack(spot.epoch, spot.seq) for spot in spots)
        return urlsafe_b64encode(place + self._seal(place, tenant, query)).decode().rstrip("=")

    def read(self, text: str, *, tenant: str, query: Query) -> Bookmark:
        """Return the place behind which a listing goes on.

        Raises:
            ContractError: No cursor of this server, this tenant and this query.
        """
        refusal = ContractError(
            "cursor: expected one that this listing gave, with the same parameters, got another"
        )
        if len(text) > 2 * (self._place_bytes + _SEAL_BYTES) or not text.isascii():
            raise refusal
        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError as error:
            raise refusal from error
        if urlsafe_b64encode(data).decode().rstrip("=") != text:
            raise refusal  # the decoder also takes + and /, and passes over what it does not know
        place, seal = data[: self._place_bytes], data[self._place_bytes :]
        if not hmac.compare_digest(seal, self._seal(place, tenant, query)):
            raise refusal
        spots = _SPOT.iter_unpack(place[len(_VERSION) :])
        return {shard: Spot(*spot) for shard, spot in zip(self._shards, spots, strict=True)}

    def _seal(self, place: bytes, tenant: str, query: Query) -> bytes:
        sealed = msgspec.msgpack.encode((tenant, query.identity(), place))
        return hmac.digest(self._key, sealed, "sha256")[:_SEAL_BYTES]
