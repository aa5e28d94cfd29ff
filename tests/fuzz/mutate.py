"""Bend bytes: at random, along the tokens of a text, and with pieces that parsers stumble over.

Seeded, so that a count and a seed name the same inputs everywhere.
"""

import random
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

BYTES_MAX: Final = 4_096
"""A bent input is cut here: what is slow because it is long is not what is looked for."""

_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+]?\d[\w.+-]*|\w+|\s+|.', re.DOTALL | re.ASCII)
# Most of what is bent is bent again and again; to part it each time took a tenth of a run.
_TOKENS_CACHED: Final = 4_096
_INTEGERS: Final = (
    0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
    2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 2, 2**64 - 0x10000,
)  # fmt: skip


@lru_cache(maxsize=_TOKENS_CACHED)
def _tokens(data: bytes) -> tuple[bytes, ...]:
    return tuple(_TOKENS.findall(data)) or (b"",)


class Mutator:
    """Bends inputs of one kind.

    Args:
        rng: What is random comes from it alone.
        pool: What is bent. Grows by `keep`.
        pieces: What is put in, byte strings a parser of this kind may stumble over.
        is_text: Whether the inputs have tokens; without them only bytes are bent.
    """

    def __init__(
        self, rng: random.Random, pool: Sequence[bytes], pieces: Sequence[bytes], *, is_text: bool
    ) -> None:
        self._rng = rng
        self._pool = list(pool)
        self._pieces = pieces
        at_bytes: tuple[Callable[[bytes], bytes], ...] = (
            self._flip, self._overwrite, self._cut, self._drop, self._double, self._splice,
        )  # fmt: skip
        if is_text:
            self._ways = (*at_bytes, self._insert, *(5 * (self._bend_tokens,)))
        else:
            self._ways = (*at_bytes, self._insert, *(4 * (self._set_integer,)))

    def keep(self, data: bytes) -> None:
        """Bend this one too from now on."""
        self._pool.append(data)

    def __call__(self) -> bytes:
        """Return the next input."""
        rng = self._rng
        data = rng.choice(self._pool)
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 6))):
            data = rng.choice(self._ways)(data)
        return data[:BYTES_MAX]

    def _bend_tokens(self, data: bytes) -> bytes:
        rng = self._rng
        tokens = list(_tokens(data))
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(tokens) + 1)
            match rng.randrange(6):
                case 0:
                    tokens[at : at + 1] = [rng.choice(self._pieces)]
                case 1:
                    tokens.insert(at, rng.choice(self._pieces))
                case 2:
                    del tokens[at : at + rng.randrange(1, 5)]
                case 3:
                    end = at + rng.randrange(1, 9)
                    there = rng.randrange(len(tokens) + 1)
                    tokens[there:there] = tokens[at:end]
                case 4 if at + 1 < len(tokens):
                    other = rng.randrange(len(tokens))
                    tokens[at], tokens[other] = tokens[other], tokens[at]
                case _:
                    tokens[at : at + 1] = [rng.choice(_tokens(rng.choice(self._pool)))]
        return b"".join(tokens)

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return self._rng.randbytes(4)
        bent = bytearray(data)
        for _ in range(self._rng.choice((1, 1, 2, 8))):
            bent[self._rng.randrange(len(bent))] ^= 1 << self._rng.randrange(8)
        return bytes(bent)

    def _overwrite(self, data: bytes) -> bytes:
        at = self._rng.randrange(len(data) + 1)
        piece = self._rng.randbytes(self._rng.randrange(1, 9))
        return data[:at] + piece + data[at + len(piece) :]

    def _set_integer(self, data: bytes) -> bytes:
        width = self._rng.choice((1, 2, 4, 4, 8))
        value = self._rng.choice(_INTEGERS) + self._rng.choice((0, 0, 0, -1, 1))
        at = self._rng.randrange(len(data) + 1)
        order = self._rng.choice(("little", "little", "big"))
        piece = (value % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]
        return data[:at] + piece + data[at + width :]

    def _cut(self, data: bytes) -> bytes:
        return data[: self._rng.randrange(len(data) + 1)]

    def _drop(self, data: bytes) -> bytes:
        start = self._rng.randrange(len(data) + 1)
        return data[:start] + data[start + self._rng.randrange(1, 40) :]

    def _double(self, data: bytes) -> bytes:
        start = self._rng.randrange(len(data) + 1)
        end = start + self._rng.randrange(1, 200)
        return data[:end] + data[start:end] + data[end:]

    def _splice(self, data: bytes) -> bytes:
        other = self._rng.choice(self._pool)
        at = self._rng.randrange(len(data) + 1)
        return data[:at] + other[self._rng.randrange(len(other) + 1) :]

    def _insert(self, data: bytes) -> bytes:
        at = self._rng.randrange(len(data) + 1)
        return data[:at] + self._rng.choice(self._pieces) + data[at:]
