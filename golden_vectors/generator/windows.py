"""Windows to summarise: grids, classical fractal sets, and noise that is the same everywhere."""

import hashlib
from itertools import product

Rows = list[list[float]]


def fractions(label: str, count: int) -> list[float]:
    """Return numbers of 53 bits in [0, 1), from the hashes of a label."""
    found = []
    for place in range(count):
        digest = hashlib.sha256(f"{label}, {place}".encode()).digest()
        found.append((int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53)
    return found


def noise(label: str, count: int) -> list[float]:
    """Return multiples of 1/16 in -32 … 32, whose texts are short."""
    return [(int(x * 1025) - 512) / 16 for x in fractions(label, count)]


def cloud(label: str, rows: int, columns: int) -> Rows:
    """Return a table of `noise`."""
    drawn = noise(label, rows * columns)
    return [drawn[start : start + columns] for start in range(0, len(drawn), columns)]


def line(count: int) -> Rows:
    """Return points along the diagonal, both ends included, of a power of two and one."""
    return [[k / (count - 1)] * 3 for k in range(count)]


def square_grid(side: int) -> Rows:
    """Return the middles of the cells of a square, and its two far corners."""
    middles = [(k + 0.5) / side for k in range(side)]
    return [[0.0, 0.0], *([x, y] for x, y in product(middles, repeat=2)), [1.0, 1.0]]


def cubic_grid(side: int) -> Rows:
    """Return the middles of the cells of a cube, and its two far corners."""
    middles = [(k + 0.5) / side for k in range(side)]
    inner = ([x, y, z] for x, y, z in product(middles, repeat=3))
    return [[0.0, 0.0, 0.0], *inner, [1.0, 1.0, 1.0]]


def cantor(depth: int) -> Rows:
    """Return the middles of the intervals left after so many steps, and both ends."""
    kept = [cell for cell in range(3**depth) if 1 not in thirds(cell, depth)]
    return [[0.0, 0.0], *([(cell + 0.5) / 3**depth, 0.0] for cell in kept), [1.0, 0.0]]


def carpet(depth: int) -> Rows:
    """Return the middles of the squares of the Sierpinski carpet, and two corners."""
    side = 3**depth
    kept = [
        (x, y)
        for x, y in product(range(side), repeat=2)
        if (1, 1) not in zip(thirds(x, depth), thirds(y, depth), strict=True)
    ]
    return [[0.0, 0.0], *([(x + 0.5) / side, (y + 0.5) / side] for x, y in kept), [1.0, 1.0]]


def sponge(depth: int) -> Rows:
    """Return the middles of the cubes of the Menger sponge, and two corners."""
    side = 3**depth
    inner = [
        [(x + 0.5) / side, (y + 0.5) / side, (z + 0.5) / side]
        for x, y, z in product(range(side), repeat=3)
        if all(
            digits.count(1) in {0, 1}
            for digits in zip(thirds(x, depth), thirds(y, depth), thirds(z, depth), strict=True)
        )
    ]
    return [[0.0, 0.0, 0.0], *inner, [1.0, 1.0, 1.0]]


def thirds(cell: int, depth: int) -> list[int]:
    """Return the digits of a cell's number in base 3."""
    return [cell // 3**place % 3 for place in range(depth)]
