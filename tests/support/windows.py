"""Named windows that cover what a window may look like, all made from written-down seeds."""

import math

import numpy as np
from numpy.typing import NDArray

POINTS = NDArray[np.float64]

PROSE = (
    b"The pump runs at forty litres a minute. When the inlet clogs, pressure falls within a "
    b"second, and the controller closes the valve before the bearing is dry. Nobody is told."
)


def point_windows() -> dict[str, POINTS]:
    """Return windows for ``points/1`` by name."""
    rng = np.random.default_rng(20260101)
    t = np.linspace(0.0, 1.0, 150)
    tilted = np.stack((t, 2.0 * t - 1.0, 0.5 - 3.0 * t), axis=1)
    plane = rng.random((250, 2))
    walk = rng.normal(size=300).cumsum()
    return {
        "three values": np.array([3.0, 1.0, 2.0]),
        "three rows of two": np.array([[0.0, 1.0], [1.0, 0.0], [0.25, 0.25]]),
        "three rows of 768": rng.normal(size=(3, 768)),
        "constant series": np.full(20, 7.25),
        "constant table": np.full((20, 3), -1e9),
        "all zeros": np.zeros((10, 4)),
        "two values in turn": np.tile([0.0, 1.0], 40),
        "ramp": np.arange(120.0),
        "sine": np.sin(np.arange(200.0) / 7.0),
        "random walk": walk,
        "walk far from zero": walk + 1e12,
        "line in the plane": tilted[:, :2].copy(),
        "line in space": tilted,
        "line in five dimensions": np.outer(t, [1.0, -2.0, 3.0, -4.0, 5.0]),
        "filled plane": plane,
        "plane in space": np.stack((plane[:, 0], plane[:, 1], plane.sum(axis=1)), axis=1),
        "plane in 768 dimensions": plane[:40] @ rng.normal(size=(2, 768)),
        "ball": rng.normal(size=(200, 3)),
        "gauss in four": rng.normal(size=(120, 4)),
        "gauss in 64": rng.normal(size=(50, 64)),
        "gauss in 65": rng.normal(size=(50, 65)),
        "gauss in 768": rng.normal(size=(40, 768)),
        "gauss in 4096": rng.normal(size=(3, 4096)),
        "small integers": rng.integers(0, 5, size=(150, 3)).astype(np.float64),
        "negative integers": rng.integers(-1000, 0, size=(90, 2)).astype(np.float64),
        "counters beyond 2^53": (2.0**53 + rng.integers(0, 9, size=60).astype(np.float64) * 2.0),
        "huge range": rng.choice([-1e300, 1e300, 0.0, 1.0], size=(60, 3)),
        "huge range projected": rng.choice([-1e300, 1e300, 1e-300], size=(30, 9)),
        "mixed magnitudes": 10.0 ** rng.uniform(-300, 300, size=(60, 2)),
        "cancelling magnitudes": rng.choice([1e16, -1e16, 1.0, 0.1], size=(40, 100)),
        "tiny range": 1.0 + rng.integers(0, 7, size=(80, 2)) * 2.0**-52,
        "denormals": rng.integers(0, 1000, size=(50, 3)) * 5e-324,
        "range just above the floor": np.linspace(0.0, 1e-299, 50),
        "duplicated rows": np.repeat(rng.normal(size=(7, 3)), 9, axis=0),
        "two clusters": np.concatenate(
            (rng.normal(0, 0.01, size=(60, 6)), rng.normal(5, 0.01, size=(30, 6)))
        ),
        "one outlier": np.concatenate((np.zeros((60, 3)), [[1.0, 1.0, 1.0]])),
        "signed zeros": np.array([[0.0, -0.0], [-0.0, 0.0], [1.0, -0.0], [-0.0, -0.0]]),
        "cell borders": np.arange(65.0)[:, np.newaxis] / 64.0 * [1.0, 0.5, 0.25],
        "circle": np.stack((np.cos(t * math.tau), np.sin(t * math.tau)), axis=1),
        "more points than one chunk of directions": rng.random((1500, 3)),
    }


def byte_windows() -> dict[str, bytes]:
    """Return windows for ``bytes/1`` by name."""
    rng = np.random.default_rng(20260102)
    return {
        "three bytes": b"abc",
        "three equal bytes": b"\x00\x00\x00",
        "prose": PROSE,
        "prose three times": PROSE * 3,
        "one word repeated": b"again " * 60,
        "one byte repeated": b"\xff" * 500,
        "all byte values": bytes(range(256)),
        "random bytes": rng.integers(0, 256, 700, dtype=np.uint8).tobytes(),
        "one leaf exactly": PROSE[:64],
        "one leaf and a byte": PROSE[:65],
        "other scripts": "Der Zähler läuft, 泵在运转, насос работает. ".encode() * 4,
    }
