"""The ring of shards, version 1, written as its definition reads."""

import hashlib

from tests.oracle.refusal import Refused


def owner(shards: list[tuple[str, int]], key_point: int) -> str:
    """Return who has the first point at or above a key's, or else the lowest point of all."""
    if not shards:
        raise Refused("ring_refused", "no_shard", "shards")
    seen: list[str] = []
    for name, weight in shards:
        if name in seen:
            raise Refused("ring_refused", "shard_twice", "shards")
        seen.append(name)
        if weight < 1 or weight > 16:
            raise Refused("ring_refused", "weight_out_of_range", "shards")
    # Pairs of a point and a name: of two names at one point the lesser one comes first.
    points: list[tuple[int, bytes]] = []
    for name, weight in shards:
        for node in range(150 * weight):
            text = "fractal-lba/ring/1/node\n" + name + "\n" + str(node)
            digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
            words = [int(digest[at : at + 8], 16) for at in range(0, 64, 8)]
            points.extend((word, name.encode("utf-8")) for word in words)
    lowest = min(points)
    above = [each for each in points if each[0] >= key_point]
    first = min(above) if above else lowest
    return first[1].decode("utf-8")


def point(tenant: str, pcs_id: str) -> int:
    """Return where a key is on the ring."""
    text = "fractal-lba/ring/1/key\n" + tenant + "\n" + pcs_id
    return int(hashlib.sha256(text.encode("utf-8")).hexdigest()[:8], 16)
