"""Random windows to every SDK's signals: the same bits, or the same first bad value.

``r`` and ``budget`` rest on deflate, which differs between implementations: they are as near
as the golden vectors ask.
"""

import base64
import math
import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from golden_vectors.runner import R_TOLERANCE
from tests.support.sdk_inputs import Input
from tests.support.sdk_matrix import Drivers

from fractal_lba.protocol import canonical

COUNT: Final = 250
SEED: Final = 20_261_122
ROWS_MAX: Final = 120
_REFERENCE: Final = "python"
_NEAR: Final = ("r", "budget")
_BAD: Final = (math.nan, math.inf, -math.inf)


class SignalsDifferError(AssertionError):
    """SDKs summarise a window differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was run, by each SDK.

    Attributes:
        sdks: Their names.
        windows: Given to each.
        summarised: Of these, by all to the same bits; the others were refused by all alike.
    """

    sdks: Sequence[str]
    windows: int
    summarised: int

    @property
    def line(self) -> str:
        """Say it."""
        names = ", ".join(self.sdks)
        taken = f"{self.summarised:,} summarised to the same bits"
        return f"{self.windows:,} windows to each of {names}: {taken}"


def run(names: Sequence[str], *, count: int = COUNT, seed: int = SEED) -> Figures:
    """Hold the SDKs to each other on random windows.

    Raises:
        SignalsDifferError: With the first window that differs.
    """
    rng = random.Random(f"windows {seed}")  # noqa: S311 - replayed, not secret
    given = [_window(rng) for _ in range(count)]
    with Drivers(names) as drivers:
        answers = drivers.ask([each.line for each in given])
    taken = 0
    for at, each in enumerate(given):
        said = {name: orjson.loads(lines[at]) for name, lines in answers.items()}
        expected = said[_REFERENCE]
        if not all(_is_alike(expected, one) for one in said.values()):
            raise SignalsDifferError(f"{each.file} {orjson.dumps(each.given).decode()}\n{said}")
        taken += expected["result"] == "valid"
    return Figures(sdks=names, windows=count, summarised=taken)


def _is_alike(expected: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    if expected.get("result") != "valid" or said.get("result") != "valid":
        return expected.get("result") == "invalid" and expected == said
    ours, theirs = dict(expected["expected"]), dict(said["expected"])
    for name in _NEAR:
        one, other = float(ours.pop(name)["text"]), float(theirs.pop(name)["text"])
        if abs(one - other) > R_TOLERANCE:
            return False
    return ours == theirs


def _window(rng: random.Random) -> Input:
    settings = {
        "seed": rng.choice((42, 0, 2**53 - 1, rng.randrange(2**53))),
        "scales": rng.choice(([2, 4, 8, 16, 32], [2, 4], [3, 7, 20, 1024], [2, 5, 11, 33])),
    }
    if rng.random() < 0.4:
        return Input("signals_bytes.json", {**settings, "data": _bytes(rng)})
    rows = _rows(rng)
    return Input(
        "signals_points.json",
        {
            **settings,
            "rows": [[_text(value) for value in row] for row in rows],
            "rows_bits": [struct.pack(f">{len(row)}d", *row).hex() for row in rows],
        },
    )


def _bytes(rng: random.Random) -> str:
    size = rng.choice((0, 2, 3, rng.randint(3, 3_000)))
    alphabet = rng.choice((b"a", b"ab", b"the quick brown fox ", bytes(range(256))))
    return base64.b64encode(bytes(rng.choices(alphabet, k=size))).decode()


def _rows(rng: random.Random) -> list[list[float]]:
    columns = rng.choice((1, 1, 2, 3, 8, 40))
    scale = 10.0 ** rng.choice((0, 0, 0, -3, 6, -200, 150))
    walk = [0.0] * columns
    rows = []
    is_walk, step = rng.random() < 0.5, rng.choice((0.0, 0.1, 1.0))
    for _ in range(rng.randint(3, ROWS_MAX)):
        walk = [each + rng.gauss(0.0, step) for each in walk]
        made = (
            walk if is_walk else [rng.choice((rng.random(), round(rng.random(), 2))) for _ in walk]
        )
        rows.append([each * scale for each in made])
    if rng.random() < 0.1:
        rng.choice(rows)[rng.randrange(columns)] = rng.choice(_BAD)
    return rows


def _text(value: float) -> str:
    if math.isfinite(value):
        return "-0" if value == 0 and math.copysign(1.0, value) < 0 else canonical(value).decode()
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
