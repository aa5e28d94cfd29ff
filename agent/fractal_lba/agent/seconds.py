"""How an option says seconds."""

import math
from typing import Any

import click
from typing_extensions import override


class Seconds(click.FloatRange):
    """A finite number in a range; ``nan`` passes every comparison, and ``inf`` is no time."""

    @override
    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """See ``click.ParamType.convert``."""
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"expected a finite number of seconds, got {value}", param, ctx)
        return seconds
