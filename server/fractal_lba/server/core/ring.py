"""The ring: which shard a record belongs to, the same for every program and every release.

Ring version 1, to the byte, stands in ``specs/server.md``; ``golden_vectors/ring.json`` has cases.
It is consistent hashing: a shard more takes its share from each of the others, and no record moves
between those that were there.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import msgspec

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.core.names import is_shard_name

RING_VERSION: Final = 1

NODES_PER_WEIGHT: Final = 150
"""Virtual nodes of a shard for each unit of its weight."""

WEIGHT_MAX: Final = 16
SHARDS_MAX: Final = 64
"""What one folder holds: a listing's cursor has a place for each, and a process its files."""

_WEIGHTS: Final = frozenset(str(weight) for weight in range(1, WEIGHT_MAX + 1))
_NODE_DOMAIN: Final = b"fractal-lba/ring/1/node\n"
_KEY_DOMAIN: Final = b"fractal-lba/ring/1/key\n"
_POINT_BYTES: Final = 4


class ShardSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shard: its name, and its weight of 1 to ``WEIGHT_MAX`` beside the others'."""

    name: str
    weight: int = 1


def written(shard: ShardSpec) -> str:
    """Write a shard as settings do: its name, and its weight where that is not 1."""
    return shard.name if shard.weight == 1 else f"{shard.name}:{shard.weight}"


def read_shard(text: str) -> ShardSpec | None:
    """Return the shard that ``NAME`` or ``NAME:WEIGHT`` names, ``None`` where it names none."""
    name, colon, weight = text.partition(":")
    if not is_shard_name(name) or bool(colon) != (weight in _WEIGHTS):
        return None
    return ShardSpec(name=name, weight=int(weight or 1))


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
        check_set(shards)
        owners: dict[int, str] = {}
        # In the order of names, each leaving what is taken: of two at one point the first has it.
        for shard in sorted(shards, key=lambda shard: shard.name.encode()):
            for point in _points_of(shard):
                owners.setdefault(point, shard.name)
        self._points = sorted(owners)
        self._owners = [owners[point] for point in self._points]

    def owner_of(self, tenant: str, pcs_id: str) -> str:
        """Return the name of the shard that a record belongs to."""
        at = bisect_left(self._points, point_of(tenant, pcs_id))
        return self._owners[at % len(self._owners)]


def check_set(shards: Sequence[ShardSpec]) -> None:
    """Check that a set of shards has a ring.

    Raises:
        RingError: There is none, two have one name, or a weight is out of range.
    """
    if not shards:
        raise RingError("no_shard", "ring: expected a shard, got none")
    if len({shard.name for shard in shards}) < len(shards):
        raise RingError("shard_twice", "ring: expected each shard once, got one twice")
    for shard in shards:
        if not 1 <= shard.weight <= WEIGHT_MAX:
            raise RingError(
                "weight_out_of_range",
                f"ring: {shard.name}: expected a weight of 1 to {WEIGHT_MAX}, got {shard.weight}",
            )


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
