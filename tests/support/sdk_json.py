"""JSON as no writer writes it: grown from the grammar, or a value spelled anew, faults included."""

import json
import random
from collections.abc import Mapping
from typing import Any, Final

DEPTHS: Final = (7, 8, 9, 63, 64, 65)
_SPACE: Final = ("", "", "", " ", "\n", "\t", "\r\n", "  ")
_FAULTY_SPACE: Final = ("\x0b", "\u00a0", "\ufeff", "\x00", "/**/", "\f")
_FAULT: Final = 0.01
"""How often a piece of a grown document is faulty; most documents have some dozens."""

_NUMBERS: Final = (
    "0", "-0", "-0.0", "1", "-1", "10", "1e0", "1E+0", "0.1", "1.0", "1e21", "1e-7", "1e23",
    "5e-324", "2e-324",
    "3e-324", "1e-400", "1.7976931348623157e308", "1.7976931348623158e308", "9007199254740993",
    "123456789012345678901234567890", "0.1e1", "100e-2", "4.35", "2.2250738585072011e-308",
    "2.2250738585072014e-308", "1" * 64, "0." + "1" * 62, "9" * 64,
)  # fmt: skip
_FAULTY_NUMBERS: Final = (
    "01", "1.", ".5", "+1", "1e", "-", "1e+", "1e400", "-1e309", "NaN", "-Infinity", "0x1", "1_0",
    "1" * 65,
    "0." + "1" * 63, "1.7976931348623159e308", "--1", "1-", "1.5.5", "1e1e1",
)  # fmt: skip
_CHARACTERS: Final = (
    "a", "b", "é", " ", "\u2028", "\U0001f600", "\U0010ffff", "\ufffe", "\ue000", "\ufb33",
    "\x7f", "\x80", "\ufeff",
    r"\n", r"\"", r"\\", r"\/", r"\u0000", r"\u0061", r"\u00E9", r"\u00e9", r"\ud83d\ude00",
    r"\uD83D\uDE00", r"\b",
)  # fmt: skip
_FAULTY_CHARACTERS: Final = (
    "\n", "\x00", "\x1f", r"\x41", r"\u12", r"\ud800", r"\udc00", r"\ud83d\ud83d",
    r"\udc00\ud800", r"\ud83da",
    '"', "\\", r"\u00zz", r"\U0061",
)  # fmt: skip
_WORDS: Final = ("true", "false", "null")
_FAULTY_WORDS: Final = ("True", "nul", "truex", "undefined", "None", "")
_FAULTY_BYTES: Final = (
    b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xef\xbb\xbf",
    b"\x80",
)  # fmt: skip
_NAMES: Final = ("a", "b", r"\u0061", "é", "", "\ufb33", "\U0001f600", "10", "9", "__proto__", "A")


def grown(rng: random.Random) -> bytes:
    """Return a document that follows the grammar, or nearly."""
    if rng.random() < 0.08:
        depth = rng.choice(DEPTHS)
        opened = [rng.choice("[{") for _ in range(depth)]
        inner = "".join("[" if each == "[" else '{"a":' for each in opened) + "0"
        text = inner + "".join("]" if each == "[" else "}" for each in reversed(opened))
    else:
        text = _space(rng) + _value(rng, rng.choice((2, 4, 7))) + _space(rng)
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.05:
        at = rng.randint(0, len(data))
        data = data[:at] + rng.choice(_FAULTY_BYTES) + data[at:]
    if rng.random() < 0.05:
        data += rng.choice((b"}", b"]", b",", b"0", b" x", b"\x00", b"null", b"\n\n"))
    return data


def respelled(rng: random.Random, value: object) -> bytes:
    """Return a value in a random spelling of JSON: order, white space, escapes and numbers."""
    return (_space(rng, fault=0.0) + _spelled(rng, value) + _space(rng, fault=0.0)).encode(
        "utf-8", "surrogatepass"
    )


def _space(rng: random.Random, fault: float = _FAULT) -> str:
    return rng.choice(_FAULTY_SPACE if rng.random() < fault / 2 else _SPACE)


def _one(rng: random.Random, sound: tuple[str, ...], faulty: tuple[str, ...]) -> str:
    return rng.choice(faulty if rng.random() < _FAULT else sound)


def _value(rng: random.Random, depth: int) -> str:
    kind = rng.randrange(7 if depth else 4)
    if kind < 2:
        return _number(rng)
    if kind == 2:
        return _string(rng)
    if kind == 3:
        return _one(rng, _WORDS, _FAULTY_WORDS)
    items = range(rng.choice((0, 1, 2, 3, 5)))
    comma = "," if rng.random() > _FAULT else rng.choice((",,", ";", "", ", ,"))
    if kind == 4:
        inner = [_space(rng) + _value(rng, depth - 1) + _space(rng) for _ in items]
        return "[" + comma.join(inner) + ("]" if rng.random() > _FAULT else ",]")
    inner = [
        f"{_space(rng)}{_name(rng, at)}{_space(rng)}:{_space(rng)}{_value(rng, depth - 1)}"
        for at in items
    ]
    return "{" + comma.join(inner) + _space(rng) + ("}" if rng.random() > _FAULT else ",}")


def _number(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return _one(rng, _NUMBERS, _FAULTY_NUMBERS)
    digits = "".join(rng.choices("0123456789", k=rng.randint(1, 25))).lstrip("0") or "0"
    fraction = "." + "".join(rng.choices("0123456789", k=rng.randint(1, 25)))
    exponent = rng.choice("eE") + rng.choice(("", "+", "-")) + str(rng.randint(0, 330))
    return (
        rng.choice(("", "-"))
        + digits
        + (fraction if rng.random() < 0.5 else "")
        + (exponent if rng.random() < 0.5 else "")
    )


def _string(rng: random.Random) -> str:
    count = rng.choice((0, 1, 3, 8))
    return '"' + "".join(_one(rng, _CHARACTERS, _FAULTY_CHARACTERS) for _ in range(count)) + '"'


def _name(rng: random.Random, at: int) -> str:
    # Mostly distinct, so that what stands behind a duplicate is reached as well.
    return f'"{rng.choice(_NAMES)}{at}"' if rng.random() < 0.85 else f'"{rng.choice(_NAMES)}"'


def _spelled(rng: random.Random, value: object) -> str:
    match value:
        case Mapping():
            names = rng.sample(list(value), len(value))
            inner = [
                f"{_string_of(rng, name)}{_space(rng, 0.0)}:{_space(rng, 0.0)}"
                f"{_spelled(rng, value[name])}"
                for name in names
            ]
            return "{" + ",".join(_space(rng, 0.0) + each for each in inner) + "}"
        case list():
            return "[" + ",".join(_spelled(rng, each) + _space(rng, 0.0) for each in value) + "]"
        case str():
            return _string_of(rng, value)
        case bool() | None:
            return json.dumps(value)
        case int() | float():
            return _number_of(rng, value)
        case _:
            raise TypeError(type(value))


def _string_of(rng: random.Random, text: str) -> str:
    if rng.random() < 0.7:
        return json.dumps(text, ensure_ascii=rng.random() < 0.5)
    return '"' + "".join(_escaped(each) for each in text) + '"'


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _number_of(rng: random.Random, value: Any) -> str:  # noqa: ANN401 - an int or a float
    text = json.dumps(value)
    if rng.random() < 0.8 or "e" in text:
        return text
    if value == 0:
        return rng.choice(("0", "-0", "0.0", "0e7", "-0.00E-0"))
    if isinstance(value, int):
        return rng.choice((f"{text}.0", f"{text}e0", f"{text}.000E+00", f"{text}0e-1"))
    return rng.choice((f"{text}0", f"{text}e0", f"{text}00E-0"))
