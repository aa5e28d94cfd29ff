"""Records: from a window to a signed record.

Pure: the time, the key and the seed are arguments. The same window with the same epoch and stream
has the same ``pcs_id`` whenever and by whichever key it is signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fractal_lba.agent.window import UNITS_MIN, Window
from fractal_lba.protocol import (
    SCHEMA,
    VERSION,
    JsonValue,
    Key,
    Profile,
    Record,
    pcs_id,
    sign_record,
)
from fractal_lba.signals import summarise_bytes, summarise_points


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What every record of a run shares.

    Attributes:
        key: Signs; its ``kid`` goes into the record.
        seed: Of the projection and the directions, 0 … 2^53−1.
        scales: Cells for each axis, 2 … 10 of them.
        meta: The record's ``meta`` member; empty leaves it out.
    """

    key: Key
    seed: int
    scales: tuple[int, ...]
    meta: Mapping[str, str]


def make_record(
    window: Window, recipe: Recipe, *, epoch: int, shard_id: str, created_at: str
) -> Record:
    """Summarise a window and sign the record of it.

    Args:
        window: 3 … 65,536 rows or bytes.
        recipe: What the run's records share.
        epoch: The window's number in its stream.
        shard_id: The stream's name.
        created_at: ``YYYY-MM-DDTHH:MM:SS.mmmZ``.

    Raises:
        ContractError: The window or a member breaks a rule of the record; nothing was signed.
    """
    if isinstance(window.data, bytes):
        summary = summarise_bytes(window.data, seed=recipe.seed, scales=recipe.scales)
    else:
        summary = summarise_points(window.data, seed=recipe.seed, scales=recipe.scales)
    members: dict[str, JsonValue] = {
        "schema": SCHEMA,
        "version": VERSION,
        "pcs_id": pcs_id(summary.merkle_root, epoch, shard_id),
        "epoch": epoch,
        "shard_id": shard_id,
        "created_at": created_at,
        # The command line observes whole windows or refuses them: nothing is substituted, and no
        # second clock is there to measure a skew against.
        "ft": {"degraded": False, "fallbacks": [], "clock_skew_ms": 0},
        **summary.members(),
    }
    if recipe.meta:
        members["meta"] = dict(recipe.meta)
    return sign_record(members, recipe.key)


def rehearse(recipe: Recipe, shard_id: str, profile: Profile) -> None:
    """Sign the record of a made-up window, to find a bad setting before anything is observed.

    Raises:
        ContractError: The key, seed, scales, stream name or meta would be refused.
    """
    data = bytes(UNITS_MIN) if profile is Profile.BYTES else np.zeros((UNITS_MIN, 1))
    make_record(
        Window(data=data, after=None),
        recipe,
        epoch=0,
        shard_id=shard_id,
        created_at="1970-01-01T00:00:00.000Z",
    )
