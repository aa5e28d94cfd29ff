"""What a record is called and what is signed of it.

Owns three byte strings: ``merkle_root|epoch|shard_id`` behind `pcs_id`, the signing input behind
`record_digest`, and the content behind `content_digest`. Each of the last two opens with its own
label, so that no bytes made for one use can pass for another.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from fractal_lba.protocol.canonical import JsonValue, canonical, without

SIGNING_LABEL: Final = b"fractal-lba/pcs/1\n"
CONTENT_LABEL: Final = b"fractal-lba/content/1\n"

_NOT_SIGNED: Final = frozenset({"sig", "delivery"})
# An honest re-run over the same window has another time, perhaps the next key, and on another
# machine another deflate; the Merkle root binds the window all the same.
_NOT_CONTENT: Final = _NOT_SIGNED | {"kid", "created_at", "ft", "meta", "r", "budget"}


def pcs_id(merkle_root: str, epoch: int, shard_id: str) -> str:
    """Return the id of the window ``epoch`` of the stream ``shard_id``, in lower-case hex.

    ``shard_id`` holds no ``|`` in a valid record, so different windows have different ids.
    """
    return hashlib.sha256(f"{merkle_root}|{epoch}|{shard_id}".encode()).hexdigest()


def signing_input(members: Mapping[str, JsonValue]) -> bytes:
    """Return the bytes a signature covers: every member but ``sig`` and ``delivery``.

    Raises:
        ContractError: The members have no canonical form.
    """
    return SIGNING_LABEL + canonical(without(members, _NOT_SIGNED))


def record_digest(signing_input: bytes) -> str:
    """Return the name of one signed record, in lower-case hex."""
    return hashlib.sha256(signing_input).hexdigest()


def content_digest(members: Mapping[str, JsonValue]) -> str:
    """Return the name of what a record says of its window, in lower-case hex.

    Raises:
        ContractError: The members have no canonical form.
    """
    return hashlib.sha256(CONTENT_LABEL + canonical(without(members, _NOT_CONTENT))).hexdigest()
