"""Checks of the options of an agent in a program: what is misspelled or of another type is named.

A misspelled option would switch off what it asks for without a word, and one of another type fail
somewhere else, or later.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from fractal_lba.agent.bounds import OutboxBounds
from fractal_lba.agent.kept import Keeping
from fractal_lba.protocol import ContractError

_PATH = ("a path", (str, Path))
_TEXT = ("a text", (str,))
_FLAG = ("True or False", (bool,))
_WHOLE = ("a whole number", (int,))

_KINDS: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "data": _PATH,
    "keyring": _PATH,
    "shard_id": _TEXT,
    "kid": _TEXT,
    "seed": _WHOLE,
    "scales": ("whole numbers", (tuple, list)),
    "meta": ("names and their texts, whole numbers or booleans", (Mapping,)),
    "degraded": _FLAG,
    "token_file": _PATH,
    "ca": _PATH,
    "cert": _PATH,
    "key": _PATH,
    "in_flight": _WHOLE,
    "ordered": _FLAG,
    "grace_s": ("a number of seconds", (int, float)),
    "give_up_s": ("a number of seconds", (int, float)),
    "outbox": ("OutboxBounds", (OutboxBounds,)),
    "kept": ("Keeping", (Keeping,)),
    "metrics": ("HOST:PORT", (str,)),
}
_CALLBACKS = ("on_accepted", "on_escalated", "on_dead")

# What None stands for: nothing was said.
_MAY_BE_NONE = frozenset({"kid", "token_file", "ca", "cert", "key", "kept", "metrics", "give_up_s"})


def check_names(
    given: Mapping[str, object], required: frozenset[str], optional: frozenset[str]
) -> None:
    """Check that every option exists, and that those which must be there are.

    Raises:
        ContractError: One does not, or is not.
    """
    known = required | optional
    if unknown := sorted(set(given) - known):
        raise ContractError(
            f"agent: expected options among {', '.join(sorted(known))}, got {', '.join(unknown)}"
        )
    if missing := sorted(required - set(given)):
        raise ContractError(f"agent: expected the option {missing[0]}, got none")


def check_types(given: Mapping[str, object]) -> None:
    """Check that each option is of its type.

    Raises:
        ContractError: One is not.
    """
    for name, value in given.items():
        if name in _KINDS and not (value is None and name in _MAY_BE_NONE):
            what, kinds = _KINDS[name]
            is_flag = isinstance(value, bool) and bool not in kinds
            if is_flag or not isinstance(value, kinds):
                raise ContractError(f"{name}: expected {what}, got {type(value).__name__}")
        if name in _CALLBACKS and not (value is None or callable(value)):
            raise ContractError(f"{name}: expected a function, got {type(value).__name__}")
    for name, least in (("grace_s", 0), ("give_up_s", 1)):
        seconds = given.get(name)
        if isinstance(seconds, int | float) and not (math.isfinite(seconds) and seconds >= least):
            raise ContractError(f"{name}: expected {least} or more seconds, got {seconds}")


def urls_of(url: object) -> list[str]:
    """Return the servers, the preferred one first.

    Raises:
        ContractError: There is none, or one is no text.
    """
    if isinstance(url, str):
        return [url]
    given: Sequence[object] = url if isinstance(url, tuple | list) else [url]
    if not given:
        raise ContractError("url: expected one server or more, got none")
    found: list[str] = []
    for each in given:
        if not isinstance(each, str):
            raise ContractError(
                f"url: expected http://HOST:PORT or https://HOST:PORT, got {type(each).__name__}"
            )
        found.append(each)
    return found


def members_of(meta: object) -> dict[str, str | int | bool]:
    """Return the members of one record's ``meta``; None for none.

    Raises:
        ContractError: They are no mapping of names.
    """
    if meta is None:
        return {}
    if not isinstance(meta, Mapping):
        what, _ = _KINDS["meta"]
        raise ContractError(f"meta: expected {what}, got {type(meta).__name__}")
    return dict(meta)
