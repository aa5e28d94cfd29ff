"""Records: from a window to a signed record.

Pure: the time, the key and the seed are arguments. The same window with the same epoch and stream
has the same ``pcs_id`` whenever and by whichever key it is signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fractal_lba.agent.repair import Fallback, repaired
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
        is_repairing: What a source lacks is replaced and named; otherwise the window is refused.
    """

    key: Key
    seed: int
    scales: tuple[int, ...]
    meta: Mapping[str, str | int | bool]
    is_repairing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Summarised:
    """A window and what its record says of it.

    Attributes:
        window: As it was summarised, repaired where that was asked for and needed.
        summary: Of that.
        fallbacks: What was repaired.
    """

    window: Window
    summary: Summary
    fallbacks: tuple[Fallback, ...]


def summarise(window: Window, recipe: Recipe) -> Summarised:
    """Summarise a window: the longer part of making its record.

    Raises:
        ContractError: The window cannot be summarised.
    """
    if isinstance(window.data, bytes):
        summary = summarise_bytes(window.data, seed=recipe.seed, scales=recipe.scales)
        return Summarised(window=window, summary=summary, fallbacks=())
    fallbacks: tuple[Fallback, ...] = ()
    if recipe.is_repairing:
        points, fallbacks = repaired(window.data)
        window = replace(window, data=points)
    summary = summarise_points(window.data, seed=recipe.seed, scales=recipe.scales)
    return Summarised(window=window, summary=summary, fallbacks=fallbacks)


def sign(  # noqa: PLR0913 - each by name
    summarised: Summarised,
    recipe: Recipe,
    *,
    epoch: int,
    shard_id: str,
    created_at: str,
    meta: Mapping[str, JsonValue],
    skew_ms: int = 0,
    is_jump: bool = False,
) -> Record:
    """Sign the record of a window.

    Args:
        summarised: The window and its summary.
        recipe: What the run's records share.
        epoch: The window's number in its stream.
        shard_id: The stream's name.
        created_at: ``YYYY-MM-DDTHH:MM:SS.mmmZ``.
        skew_ms: By how much the wall clock moved against a steady one since the last window.
        is_jump: That is more than steering does.
        meta: This record's own members of ``meta``, in place of the recipe's of the same names.

    Raises:
        ContractError: A member breaks a rule of the record; nothing was signed.
    """
    summary = summarised.summary
    jumped = (Fallback.CLOCK_JUMPED,) if is_jump else ()
    fallbacks: list[JsonValue] = [each.value for each in (*summarised.fallbacks, *jumped)]
    members: dict[str, JsonValue] = {
        "schema": SCHEMA,
        "version": VERSION,
        "pcs_id": pcs_id(summary.merkle_root, epoch, shard_id),
        "epoch": epoch,
        "shard_id": shard_id,
        "created_at": created_at,
        "ft": {
            "degraded": bool(fallbacks),
            "fallbacks": fallbacks,
            "clock_skew_ms": skew_ms,
        },
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
    return sign(
        summarise(window, recipe),
        recipe,
        epoch=epoch,
        shard_id=shard_id,
        created_at=created_at,
        meta={},
    )


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
