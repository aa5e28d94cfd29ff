"""Types whose description msgspec has before any thread decodes to them."""

from typing import TypeVar

import msgspec

_Kind = TypeVar("_Kind", bound=type)


def described(kind: _Kind) -> _Kind:
    """Have msgspec describe a type now, while its module is imported; return it.

    Left to itself msgspec does that at the first value, and lets other threads use what is not
    whole yet: a process that decodes its first two values at once dies of a segmentation fault
    (0.22.0). Everything that is decoded to by more than one thread, and for one rule whatever is
    decoded to, is decorated with this.
    """
    msgspec.json.Decoder(kind)
    return kind
