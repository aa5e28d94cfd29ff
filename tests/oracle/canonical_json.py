"""RFC 8785 bytes, written from the RFC: sorted names, short strings, ECMAScript's numbers."""

from decimal import Decimal

SHORT_ESCAPES = {
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\f": "\\f",
    "\r": "\\r",
    '"': '\\"',
    "\\": "\\\\",
}


def canonical_bytes(value: object) -> bytes:
    """Return the canonical form of what ``json.loads`` gives."""
    return written(value).encode("utf-8")


def written(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return string(value)
    if isinstance(value, int | float):
        return number(float(value))
    if isinstance(value, list):
        return "[" + ",".join(written(item) for item in value) + "]"
    if isinstance(value, dict):
        # Section 3.2.3: as arrays of UTF-16 code units.
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(string(name) + ":" + written(value[name]) for name in names) + "}"
    raise TypeError(type(value))


def string(text: str) -> str:
    """Section 3.2.2.2."""
    out = '"'
    for character in text:
        if character in SHORT_ESCAPES:
            out = out + SHORT_ESCAPES[character]
        elif ord(character) < 0x20:
            out = out + f"\\u{ord(character):04x}"
        else:
            out = out + character
    return out + '"'


def number(x: float) -> str:
    """Section 3.2.2.3: Number::toString of ECMA-262, whose letters are used here."""
    if x == 0:
        return "0"
    if x < 0:
        return "-" + number(-x)
    # repr gives the shortest digits that name this double, as ECMA-262 asks for.
    _, digit_tuple, exponent = Decimal(repr(x)).normalize().as_tuple()
    assert isinstance(exponent, int)
    digits = "".join(str(digit) for digit in digit_tuple)
    k = len(digits)
    n = k + exponent
    if k <= n <= 21:
        return digits + "0" * (n - k)
    if 0 < n <= 21:
        return digits[:n] + "." + digits[n:]
    if -6 < n <= 0:
        return "0." + "0" * -n + digits
    e = n - 1
    sign = "+" if e > 0 else "-"
    mantissa = digits if k == 1 else digits[0] + "." + digits[1:]
    return mantissa + "e" + sign + str(abs(e))
