"""The signals of a window, step by step, one float at a time.

Slow and obvious on purpose. A window is a list of rows, a row a list of floats.
"""

import hashlib
import math
import zlib

from tests.oracle.merkle import leaves_of_bytes, leaves_of_points, merkle_tree_hash

Rows = list[list[float]]
Members = dict[str, object]


def members_of_points(rows: Rows, seed: int, scales: list[int]) -> Members:
    """Return the record's members that come from a ``points/1`` window."""
    points = to_three_columns(rows, seed)
    cube = to_unit_cube(points)
    root = merkle_tree_hash(leaves_of_points(rows))
    shape = {"profile": "points/1", "n": len(rows), "d": len(rows[0]), "merkle_root": root.hex()}
    return shape | _computed(cube, cube_bytes(cube), seed, scales)


def members_of_bytes(data: bytes, seed: int, scales: list[int]) -> Members:
    """Return the record's members that come from a ``bytes/1`` window."""
    rows = [[float(value)] for value in data]
    cube = to_unit_cube(to_three_columns(rows, seed))
    root = merkle_tree_hash(leaves_of_bytes(data))
    shape = {"profile": "bytes/1", "n": len(data), "d": 1, "merkle_root": root.hex()}
    return shape | _computed(cube, data, seed, scales)


def _computed(cube: Rows, compressed: bytes, seed: int, scales: list[int]) -> Members:
    n_j = {scale: count_cells(cube, scale) for scale in scales}
    share, direction = coherence(cube, seed)
    d_hat = rounded(theil_sen(n_j))
    coh_star = rounded(share)
    r = rounded(deflated_share(compressed))
    return {
        "seed": seed,
        "scales": scales,
        "N_j": {str(scale): count for scale, count in n_j.items()},
        "D_hat": d_hat,
        "coh_star": coh_star,
        "r": r,
        "budget": budget_of(d_hat, coh_star, r),
        "v_star": [rounded(component) for component in direction],
        "regime": regime_of(d_hat, coh_star),
    }


# 1. To three columns


def to_three_columns(rows: Rows, seed: int) -> Rows:
    d = len(rows[0])
    if d == 1:
        return [[rows[t][0], rows[t + 1][0], rows[t + 2][0]] for t in range(len(rows) - 2)]
    if d == 2:
        return [[row[0], row[1], 0.0] for row in rows]
    if d == 3:
        return [list(row) for row in rows]
    bits = projection_bits(seed, 3 * d)
    points = []
    for row in rows:
        point = []
        for k in range(3):
            acc = 0.0
            for j in range(d):
                acc = acc + row[j] if bits[3 * j + k] == 1 else acc - row[j]
            point.append(acc)
        points.append(point)
    return points


def projection_bits(seed: int, how_many: int) -> list[int]:
    bits: list[int] = []
    block = 0
    while len(bits) < how_many:
        message = b"fractal-lba/projection/1" + seed.to_bytes(8, "big") + block.to_bytes(4, "big")
        for byte in hashlib.sha256(message).digest():
            bits.extend((byte >> place) & 1 for place in (7, 6, 5, 4, 3, 2, 1, 0))
        block = block + 1
    return bits


# 2. To the unit cube


def to_unit_cube(points: Rows) -> Rows:
    lows = [min(point[k] for point in points) for k in range(3)]
    highs = [max(point[k] for point in points) for k in range(3)]
    extent = max(highs[k] - lows[k] for k in range(3))
    if extent < 1e-300:
        return [[0.0, 0.0, 0.0] for _ in points]
    return [[(point[k] - lows[k]) / extent for k in range(3)] for point in points]


# 3. Cells and slope


def count_cells(cube: Rows, scale: int) -> int:
    cells = set()
    for point in cube:
        cells.add(tuple(min(math.floor(x * scale), scale - 1) for x in point))
    return len(cells)


def theil_sen(n_j: dict[int, int]) -> float:
    scales = sorted(n_j)
    slopes = []
    for a in scales:
        for b in scales:
            if a < b:
                rise = math.log2(n_j[b]) - math.log2(n_j[a])
                slopes.append(rise / (math.log2(b) - math.log2(a)))
    slopes.sort()
    middle = len(slopes) // 2
    if len(slopes) % 2 == 1:
        return slopes[middle]
    return (slopes[middle - 1] + slopes[middle]) / 2


# 4. Coherence


def coherence(cube: Rows, seed: int) -> tuple[float, list[float]]:
    best_count = 0
    best_direction = []
    for i in range(100):
        direction = marsaglia(seed, i)
        count = fullest_bin(cube, direction)
        if count > best_count:
            best_count = count
            best_direction = direction
    return best_count / len(cube), best_direction


def marsaglia(seed: int, i: int) -> list[float]:
    words: list[int] = []
    block = 0
    while True:
        while len(words) < 2:
            message = b"fractal-lba/direction/1" + seed.to_bytes(8, "big")
            message = message + i.to_bytes(4, "big") + block.to_bytes(4, "big")
            digest = hashlib.sha256(message).digest()
            words.extend(int.from_bytes(digest[s : s + 8], "big") for s in (0, 8, 16, 24))
            block = block + 1
        u = (words.pop(0) >> 11) * 2.0**-52 - 1
        v = (words.pop(0) >> 11) * 2.0**-52 - 1
        s = u * u + v * v
        if 0 < s < 1:
            q = math.sqrt(1 - s)
            return [2 * u * q, 2 * v * q, 1 - 2 * s]


def project(cube: Rows, direction: list[float]) -> list[float]:
    v0, v1, v2 = direction
    return [(x * v0 + y * v1) + z * v2 for x, y, z in cube]


def fullest_bin(cube: Rows, direction: list[float]) -> int:
    projections = project(cube, direction)
    lo = min(projections)
    hi = max(projections)
    if hi - lo < 1e-9:
        return len(cube)
    counts = [0] * 20
    for p in projections:
        counts[min(19, math.floor((20 * (p - lo)) / (hi - lo)))] += 1
    return max(counts)


# 5. Compression


def cube_bytes(cube: Rows) -> bytes:
    data = bytearray()
    for point in cube:
        for x in point:
            data.append(math.floor(255 * x + 0.5))
    return bytes(data)


def deflated_share(data: bytes) -> float:
    deflater = zlib.compressobj(6, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY)
    packed = deflater.compress(data) + deflater.flush()
    return max(0.0, min(1.0, len(packed) / len(data)))


# 6. and 7. What follows


def rounded(x: float) -> float:
    magnitude = math.floor(abs(x) * 1e9 + 0.5) / 1e9
    if magnitude == 0:
        return 0.0
    return magnitude if x > 0 else -magnitude


def regime_of(d_hat: float, coh_star: float) -> str:
    if coh_star >= 0.70 and d_hat <= 1.5:
        return "sticky"
    if d_hat >= 2.6:
        return "non_sticky"
    return "mixed"


def budget_of(d_hat: float, coh_star: float, r: float) -> float:
    value = ((0.10 + 0.30 * (1 - r)) + 0.50 * max(0.0, d_hat - 2.2)) + 0.20 * coh_star
    return rounded(min(1.0, max(0.0, value)))
