"""Signed records for a load: real summaries, each record distinct.

One real window is summarised; each record is that summary at its own epoch, so every identity,
digest and signature differs while the shape stays that of a record an agent sends.
"""

import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fractal_lba.protocol import Key, format_timestamp, pcs_id, sign_record, stored_bytes
from fractal_lba.signals import summarise_bytes

WINDOW_BYTES: Final = 4096
SHARD_ID: Final = "benchmark"


def template() -> dict[str, Any]:
    """Return the members that all records of a load share."""
    text = Path(sysconfig.get_path("stdlib")) / "argparse.py"
    summary = summarise_bytes(text.read_bytes()[:WINDOW_BYTES])
    return {
        "schema": "fractal-lba-kakeya",
        "version": "1.0",
        "shard_id": SHARD_ID,
        "ft": {"degraded": False, "fallbacks": [], "clock_skew_ms": 0},
        **summary.members(),
    }


def signed_bodies(key: Key, count: int, *, first_epoch: int = 0) -> Iterator[bytes]:
    """Yield ``count`` signed request bodies with consecutive epochs."""
    shared = template()
    # Now, as an agent would say: a server refuses what is older than its horizon.
    created_ms = time.time_ns() // 1_000_000
    for epoch in range(first_epoch, first_epoch + count):
        members = {
            **shared,
            "epoch": epoch,
            "pcs_id": pcs_id(shared["merkle_root"], epoch, SHARD_ID),
            "created_at": format_timestamp(created_ms),
        }
        yield stored_bytes(sign_record(members, key))
