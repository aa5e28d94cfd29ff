"""The ring: which shard a record belongs to, the same for every program and every release.

Ring version 1, to the byte, stands in ``specs/server.md``; ``golden_vectors/ring.json`` has cases.
It is consistent hashing: a shard more takes its share from each of the others, and no record moves
between those that were there.
"""

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from fractal_lba.protocol.errors import ContractError

RING_VERSION: Final = 1

NODES_PER_WEIGHT: Final = 150
"""Virtual nodes of a shard for each unit of its weight."""

WEIGHT_MAX: Final = 16
"""What a ring of 64 shards is still made of in a second."""

_NODE_DOMAIN: Final = b"fractal-lba/ring/1/node\n"
_KEY_DOMAIN: Final = b"fractal-lba/ring/1/key\n"
_POINT_BYTES: Final = 4


class ShardSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shard: its name, and its weight of 1 to ``WEIGHT_MAX`` beside the others'."""

    name: str
    weight: int = 1


class RingError(ContractError):
    """No set of shards: ``reason`` is ``no_shard``, ``shard_twice`` or ``weight_out_of_range``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Ring:
    """Where the keys of one set of shards belong.

    Args:
        shards: In any order: it does not matter to any key.

    Raises:
        RingError: There is none, two have one name, or a weight is out of range.
    """

    def __init__(self, shards: Sequence[ShardSpec]) -> None:
        names = sorted(shard.name for shard in shards)
        if not names:
            raise RingError("no_shard", "ring: expected a shard, got none")
        if any(one == other for one, other in pairwise(names)):
            raise RingError("shard_twice", "ring: expected each shard once, got one twice")
        owners: dict[int, str] = {}
        # In the order of names, each leaving what is taken: of two at one point the first has it.
        for shard in sorted(shards, key=lambda shard: shard.name.encode()):
            if not 1 <= shard.weight <= WEIGHT_MAX:
                raise RingError(
                    "weight_out_of_range",
                    f"ring: {shard.name}: expected a weight of 1 to {WEIGHT_MAX}, got another",
                )
            for point in _points_of(shard):
                owners.setdefault(point, shard.name)
        self._points = array("I", sorted(owners))
        self._owners = [owners[point] for point in self._points]

    def owner_of(self, tenant: str, pcs_id: str) -> str:
        """Return the name of the shard that a record belongs to."""
        at = bisect_left(self._points, point_of(tenant, pcs_id))
        return self._owners[at % len(self._owners)]


def point_of(tenant: str, pcs_id: str) -> int:
    """Return the point of a key on the ring, 0 to 2^32 - 1."""
    digest = hashlib.sha256(_KEY_DOMAIN + tenant.encode() + b"\n" + pcs_id.encode()).digest()
    return int.from_bytes(digest[:_POINT_BYTES], "big")


def _points_of(shard: ShardSpec) -> Sequence[int]:
    # Eight points for each virtual node, all of its digest: one alone leaves shards of 64 more than
    # a fifth over their share.
    points: list[int] = []
    for node in range(NODES_PER_WEIGHT * shard.weight):
        digest = hashlib.sha256(_NODE_DOMAIN + shard.name.encode() + b"\n" + b"%d" % node).digest()
        points += (
            int.from_bytes(digest[at : at + _POINT_BYTES], "big")
            for at in range(0, len(digest), _POINT_BYTES)
        )
    return points
