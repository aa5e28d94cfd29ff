"""Columns: which of a table's are taken, and the part of a source's key that says so."""

import hashlib
from collections.abc import Sequence
from urllib.parse import quote

# The outbox keeps the key with every window, and a frame's meta block is bounded.
_KEY_MAX = 1024


def columns_key(columns: Sequence[str] | None) -> str:
    """Return what the key of a source ends in where columns were chosen."""
    if columns is None:
        return ""
    names = ",".join(quote(column, safe="") for column in columns)
    if len(names) > _KEY_MAX:
        names = "sha256:" + hashlib.sha256(names.encode()).hexdigest()
    return f"#columns={names}"
