"""Ed25519 signatures that libraries disagree about, made by hand with the oracle's curve."""

import hashlib
from collections.abc import Iterator
from typing import Final

from tests.oracle.ed25519 import (
    BASE,
    IDENTITY,
    L,
    P,
    Point,
    add,
    encode,
    multiply,
    point_of,
    recover_x,
    secret_parts,
    sha512,
)

from fractal_lba.protocol import ed25519_public, sign_ed25519

Signed = tuple[bytes, bytes, bytes]
"""A public key, a message, and a signature."""

SEED: Final = hashlib.sha256(b"golden vectors, Ed25519").digest()
SCALAR: Final = secret_parts(SEED)[0] % L


def changed(public: bytes) -> Iterator[tuple[str, str, Signed]]:
    """Yield signatures that are wrong in an ordinary way."""
    message = b"fractal"
    signature = sign_ed25519(SEED, message)
    other = ed25519_public(bytes(32))
    yield "another message", "Changed", (public, b"Fractal", signature)
    yield "a message longer by a byte", "Changed", (public, message + b"\0", signature)
    yield "no message", "Changed", (public, b"", signature)
    yield "another key", "Changed", (other, message, signature)
    yield "the seed as the key", "Changed", (SEED, message, signature)
    for place in (0, 31, 32, 62):
        bent = bytearray(signature)
        bent[place] ^= 1
        yield f"a bit of byte {place}", "Changed", (public, message, bytes(bent))
    bent = bytearray(signature)
    bent[31] ^= 0x80
    yield "the sign of R", "Changed", (public, message, bytes(bent))
    bent = bytearray(public)
    bent[31] ^= 0x80
    yield "the sign of the key", "Changed", (bytes(bent), message, signature)
    yield "halves swapped", "Changed", (public, message, signature[32:] + signature[:32])
    yield "zeros", "Changed", (public, message, bytes(64))
    hashed = sign_ed25519(SEED, hashlib.sha512(message).digest())
    yield "over the hash of the message", "Changed", (public, message, hashed)
    for length in (0, 32, 63):
        yield f"{length} bytes", "Length", (public, message, signature[:length])
    yield "65 bytes", "Length", (public, message, signature + b"\0")
    yield "a key of 31 bytes", "Length", (public[:31], message, signature)
    yield "a key of 33 bytes", "Length", (public + b"\0", message, signature)
    scalar = int.from_bytes(signature[32:], "little")
    for comment, beyond in (
        ("S + L", scalar + L),
        ("S + 2L", scalar + 2 * L),
        ("S + 15L", scalar + 15 * L),
        ("L itself", L),
        ("L + 1", L + 1),
        ("all bits set", 2**256 - 1),
        ("S with its highest bit set", scalar | 2**255),
    ):
        yield comment, "ScalarNotReduced", (public, message, signature[:32] + little(beyond))


def odd_encodings(public: bytes) -> Iterator[tuple[str, str, Signed]]:
    """Yield encodings with y >= p, and bytes that name no point."""
    message = b"fractal"
    signature = sign_ed25519(SEED, message)
    # The y from 3 to 18 that name points of large order have a second spelling, y + p.
    large = [y for y in range(2, 19) if recover_x(y, 0) is not None]
    for y in (*large[:3], large[-1]):
        for sign in (0, 2**255):
            encoding = little(P + y + sign)
            comment = f"y = p + {y}, sign {sign >> 255}"
            yield comment, "NonCanonicalKey", (encoding, message, signature)
            yield comment, "NonCanonicalR", (public, message, encoding + signature[32:])
    none = [y for y in range(2, 19) if recover_x(y, 0) is None]
    for y in none[:2]:
        yield f"a key of y = {y}", "NotOnCurve", (little(y), message, signature)
        yield f"R of y = {y}", "NotOnCurve", (public, message, little(y) + signature[32:])


def little(number: int) -> bytes:
    """Return 32 bytes, the lowest first."""
    return number.to_bytes(32, "little")


def order_8() -> Point:
    """Return a point of order 8: a point of the curve times L, until one is."""
    y = 2
    while True:
        x = recover_x(y, 0)
        if x is not None:
            point = multiply(L, point_of(x, y))
            if encode(multiply(4, point)) != encode(IDENTITY):
                return point
        y += 1


TORSION: Final = [multiply(times, order_8()) for times in range(8)]


def small_order() -> list[bytes]:
    """Return the 14 encodings of the eight points of small order, sorted."""
    found = set()
    for point in TORSION:
        encoding = int.from_bytes(encode(point), "little")
        y = encoding % 2**255
        # Where x is 0 both signs name the point for a careless reader; below 19 y + p fits too.
        signs = (0, 2**255) if y in {1, P - 1} else (encoding - y,)
        for sign in signs:
            found.add(little(y + sign))
            if y + P < 2**255:
                found.add(little(y + P + sign))
    return sorted(found)


def meaning(encoding: bytes) -> int:
    """Return which multiple of the point of order 8 an encoding stands for."""
    number = int.from_bytes(encoding, "little")
    y = number % 2**255 % P
    for times, point in enumerate(TORSION):
        known = int.from_bytes(encode(point), "little")
        if known % 2**255 == y and (y in {1, P - 1} or known >> 255 == number >> 255):
            return times
    raise AssertionError("not of small order")


def challenge(r: bytes, public: bytes, message: bytes) -> int:
    """Return k of RFC 8032, not reduced."""
    return sha512(r + public + message)


def messages() -> Iterator[bytes]:
    """Yield messages to choose from."""
    for place in range(10_000):
        yield b"message %d" % place


def with_small_key(encoding: bytes) -> Signed:
    """Return a signature under a key of small order for which the equation holds."""
    r = sha512(encoding) % L
    encoded = encode(multiply(r, BASE))
    times = meaning(encoding)
    for message in messages():
        if times * (challenge(encoded, encoding, message) % L) % 8 == 0:
            return encoding, message, encoded + little(r)
    raise AssertionError("no message")


def with_small_r(encoding: bytes) -> Signed:
    """Return a signature whose R is of small order and for which the equation holds."""
    times = meaning(encoding)
    public = encode(add(multiply(SCALAR, BASE), TORSION[1]))
    for message in messages():
        k = challenge(encoding, public, message)
        if (times + k % L) % 8 == 0:
            return public, message, encoding + little(k * SCALAR % L)
    raise AssertionError("no message")


def mixed() -> Iterator[tuple[str, bool, Signed]]:
    """Yield signatures of keys with a part of small order, sound and not."""
    for times in (1, 2, 4):
        public = encode(add(multiply(SCALAR, BASE), TORSION[times]))
        nonce = sha512(b"nonce %d" % times) % L
        for part in (0, 8 - times):
            r = encode(add(multiply(nonce, BASE), TORSION[part]))
            wanted = {True: 2, False: 2}
            for message in messages():
                k = challenge(r, public, message) % L
                holds = (part + k * times) % 8 == 0
                if wanted[holds]:
                    wanted[holds] -= 1
                    signature = r + little((nonce + k * SCALAR) % L)
                    yield f"key + {times}T, R + {part}T", holds, (public, message, signature)
                if not any(wanted.values()):
                    break
