"""Ed25519 in whole numbers, after RFC 8032 section 5.1, under the strict rule of the wire format.

Points are extended homogeneous coordinates (X, Y, Z, T) with x = X/Z, y = Y/Z, x·y = T/Z.
"""

import hashlib

Point = tuple[int, int, int, int]

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)
IDENTITY: Point = (0, 1, 1, 0)


def sha512(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little")


def add(a: Point, b: Point) -> Point:
    """Section 5.1.4."""
    left = (a[1] - a[0]) * (b[1] - b[0]) % P
    right = (a[1] + a[0]) * (b[1] + b[0]) % P
    c = 2 * a[3] * b[3] * D % P
    d = 2 * a[2] * b[2] % P
    e = right - left
    f = d - c
    g = d + c
    h = right + left
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar: int, point: Point) -> Point:
    result = IDENTITY
    while scalar > 0:
        if scalar % 2 == 1:
            result = add(result, point)
        point = add(point, point)
        scalar = scalar // 2
    return result


def negate(point: Point) -> Point:
    return (P - point[0], point[1], point[2], P - point[3])


def recover_x(y: int, sign: int) -> int | None:
    """Section 5.1.3, steps 2 to 4; none where there is no such point."""
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if sign == 1 else 0
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * SQRT_MINUS_1 % P
    if x * x % P != square:
        return None
    return P - x if x % 2 != sign else x


def point_of(x: int, y: int) -> Point:
    return (x, y, 1, x * y % P)


def base_point() -> Point:
    y = 4 * pow(5, P - 2, P) % P
    x = recover_x(y, 0)
    assert x is not None
    return point_of(x, y)


BASE = base_point()


def encode(point: Point) -> bytes:
    inverse = pow(point[2], P - 2, P)
    x = point[0] * inverse % P
    y = point[1] * inverse % P
    return (y + (x % 2) * 2**255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """Return the point, or none where the bytes are no canonical encoding of one."""
    number = int.from_bytes(data, "little")
    y = number % 2**255
    if y >= P:
        return None
    x = recover_x(y, number // 2**255)
    return None if x is None else point_of(x, y)


def is_small(point: Point) -> bool:
    return encode(multiply(8, point)) == encode(IDENTITY)


def secret_parts(seed: bytes) -> tuple[int, bytes]:
    """Section 5.1.5, steps 1 and 2."""
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little")
    scalar = scalar - scalar % 8
    scalar = scalar % 2**254 + 2**254
    return scalar, digest[32:]


def public_key(seed: bytes) -> bytes:
    return encode(multiply(secret_parts(seed)[0], BASE))


def sign(seed: bytes, message: bytes) -> bytes:
    """Section 5.1.6."""
    scalar, prefix = secret_parts(seed)
    public = encode(multiply(scalar, BASE))
    r = sha512(prefix + message) % L
    encoded_r = encode(multiply(r, BASE))
    k = sha512(encoded_r + public + message) % L
    return encoded_r + ((r + k * scalar) % L).to_bytes(32, "little")


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    if len(public) != 32 or len(signature) != 64:
        return False
    a = decode(public)
    r = decode(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L or is_small(a) or is_small(r):
        return False
    k = sha512(signature[:32] + public + message) % L
    # Without the cofactor, and R compared as bytes.
    return encode(add(multiply(s, BASE), negate(multiply(k, a)))) == signature[:32]
