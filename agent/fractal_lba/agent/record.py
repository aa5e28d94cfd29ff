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
from fractal_lba.signals import Summary, summarise_bytes, summarise_points


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


def summarise(window: Window, recipe: Recipe) -> Summary:
    """Summarise a window: the longer part of making its record.

    Raises:
        ContractError: The window cannot be summarised.
    """
    if isinstance(window.data, bytes):
        return summarise_bytes(window.data, seed=recipe.seed, scales=recipe.scales)
    return summarise_points(window.data, seed=recipe.seed, scales=recipe.scales)


def sign(  # noqa: PLR0913 - each by name
    summary: Summary,
    recipe: Recipe,
    *,
    epoch: int,
    shard_id: str,
    created_at: str,
    meta: Mapping[str, JsonValue],
) -> Record:
    """Sign the record of a summary.

    Args:
        summary: Of the window.
        recipe: What the run's records share.
        epoch: The window's number in its stream.
        shard_id: The stream's name.
        created_at: ``YYYY-MM-DDTHH:MM:SS.mmmZ``.
        meta: This record's own members of ``meta``, in place of the recipe's of the same names.

    Raises:
        ContractError: A member breaks a rule of the record; nothing was signed.
    """
    members: dict[str, JsonValue] = {
        "schema": SCHEMA,
        "version": VERSION,
        "pcs_id": pcs_id(summary.merkle_root, epoch, shard_id),
        "epoch": epoch,
        "shard_id": shard_id,
        "created_at": created_at,
        # Whole windows are observed or refused: nothing is substituted, and no second clock is
        # there to measure a skew against.
        "ft": {"degraded": False, "fallbacks": [], "clock_skew_ms": 0},
        **summary.members(),
    }
    told: dict[str, JsonValue] = {**recipe.meta, **meta}
    if told:
        members["meta"] = told
    return sign_record(members, recipe.key)


def make_record(
    window: Window, recipe: Recipe, *, epoch: int, shard_id: str, created_at: str
) -> Record:
    """Summarise a window and sign the record of it; see ``summarise`` and ``sign``."""
    summary = summarise(window, recipe)
    return sign(summary, recipe, epoch=epoch, shard_id=shard_id, created_at=created_at, meta={})


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
