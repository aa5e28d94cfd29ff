"""What a settings file or a text holds in place of a setting, in the words of every other refusal.

``msgspec`` checks types and ranges and tells what it met in words of its own. What came is named by
its type, and shown where it is a number or a boolean: any text may be a secret in the wrong place.
"""

import re
from typing import Final

import msgspec

_UNKNOWN: Final = re.compile(
    r"Object contains unknown field `(?P<name>.*)`(?: - at `\$\.?(?P<at>.*)`)?", re.DOTALL
)
_WRONG: Final = re.compile(
    r"Expected (?P<wanted>.+?)(?:, got `?(?P<got>.+?)`?)?(?: - at `\$\.?(?P<at>.*)`)?", re.DOTALL
)
_KINDS: Final = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "a table",
    "str": "text",
}
_TYPE: Final = re.compile(r"`([\w |]+)`|^([\w |]+)$")
_STEP: Final = re.compile(r"[^.\[\]]+")


def wrong_setting(error: msgspec.ValidationError, given: object, where: str = "") -> str:
    """Return which setting is wrong, what was expected and what came.

    Args:
        error: What ``msgspec.convert`` raised.
        given: What it was to convert.
        where: The setting that ``given`` stands for; empty for all of them.
    """
    text = str(error)
    if unknown := _UNKNOWN.fullmatch(text):
        name = _joined(where, unknown["at"], unknown["name"])
        return f"expected a known setting, got {name!r}"
    if (wrong := _WRONG.fullmatch(text)) is None:
        return _joined(where, text, separator=": ")
    value = _at(given, wrong["at"] or "")
    if isinstance(value, bool):
        got = "true" if value else "false"
    elif isinstance(value, int | float):
        got = str(value)
    else:
        got = _named(wrong["got"] or "another")
    name = _joined(where, wrong["at"])
    return _joined(name, f"expected {_named(wrong['wanted'])}, got {got}", separator=": ")


def _joined(*parts: str | None, separator: str = ".") -> str:
    return separator.join(part for part in parts if part)


def _named(wanted: str) -> str:
    """Return a type, or several with their range, as people say it."""
    return _TYPE.sub(lambda found: _kinds(found[1] or found[2]), wanted)


def _kinds(names: str) -> str:
    # An absent value is written by leaving it out: nobody is told to give it.
    kinds = [_KINDS.get(name, name) for name in names.removesuffix(" | null").split(" | ")]
    return " or ".join(kinds)


def _at(given: object, path: str) -> object:
    """Return what stands at a path; nothing where that cannot be told."""
    for step in _STEP.findall(path):
        if isinstance(given, dict):
            given = given.get(step)
        elif isinstance(given, list | tuple) and step.isdecimal() and int(step) < len(given):
            given = given[int(step)]
        else:
            return None
    return given
