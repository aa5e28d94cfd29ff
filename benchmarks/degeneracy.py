"""What the signals tell of degenerate text, and what they do not.

Reads ``degeneracy_semi.jsonl.gz`` (real answers of a model, and the same ones damaged on purpose)
and ``responses.jsonl.gz`` (real answers as they are), summarises every text as ``bytes/1`` and
prints three tables in Markdown. Beside the signals stand the two things anybody has without them:
the length of a text and plain zlib.

Nothing peeks: the direction of every single score is fixed here (longer, more compressible, lower
D̂, higher coh★ is degenerate) and never turned round; what is fitted, and every threshold, comes
from the folds that the text's group is not in.
"""

import argparse
import gzip
import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from benchmarks.discrimination import (
    FOLDS,
    Bools,
    Estimate,
    Floats,
    auroc_estimate,
    cross_fitted,
    fit_logistic,
    fold_of,
    group_draws,
    share_estimate,
    threshold_at,
)
from benchmarks.run import quote
from numpy.typing import NDArray

from fractal_lba.signals import summarise_bytes

Names = NDArray[np.str_]

SEED: Final = 42
DRAWS: Final = 2_000
RATE: Final = 0.01
KINDS: Final = ("loop", "repetition", "drift", "shuffle", "salad")
SEVERITIES: Final = ("severe", "mild")
# What the fitted detector of the third table is fitted to find.
SOUGHT: Final = ("loop", "repetition")
QUOTED: Final = "degeneracy"
UNFITTED: Final = """\
AUROC [95 % interval] against the normal texts, nothing fitted. 0.5 is chance; below it the score
points the wrong way:"""
FITTED: Final = """\
AUROC of a logistic regression, fitted for each row on four fifths of the groups and scored on the
fifth it never saw:"""
FLAGGED: Final = """\
Share flagged [95 % interval] by one detector of loops and repetition, its threshold set where 1 %
of the normal texts of the other four fifths lie above it:"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Texts with what is scored of them, one row each.

    Attributes:
        kinds: ``normal`` or what was done to them; empty for whole answers.
        severities: ``none``, ``mild`` or ``severe``.
        groups: whatever was made from one question, claim or category has one name.
        length: bytes of UTF-8.
        zlib_share: length at level 6 over length.
        signals: ``(n, 3)``, D̂, coh★ and r of ``bytes/1``.
    """

    kinds: Names
    severities: Names
    groups: list[str]
    length: Floats
    zlib_share: Floats
    signals: Floats

    def singles(self) -> dict[str, Floats]:
        """Return the scores that need no fit; a higher one says degenerate."""
        return {
            "length": self.length,
            "plain zlib": -self.zlib_share,
            "D̂": -self.signals[:, 0],
            "coh★": self.signals[:, 1],
            "r": -self.signals[:, 2],
        }

    def sets(self) -> dict[str, Floats]:
        """Return the features of the scores that are fitted."""
        simple = np.column_stack((self.length, self.zlib_share))
        return {
            "D̂, coh★, r": self.signals,
            "length, plain zlib": simple,
            "all four": np.column_stack((self.signals, self.length)),
        }


def read(path: Path, member: str) -> Texts:
    """Return the texts of a ``.jsonl.gz`` file, each summarised."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows: list[dict[str, Any]] = [json.loads(line) for line in file]
    texts = [row[member].encode() for row in rows]
    summaries = [summarise_bytes(text, seed=SEED) for text in texts]
    return Texts(
        kinds=np.array([row.get("kind", "") for row in rows]),
        severities=np.array([row.get("severity", "") for row in rows]),
        groups=[row["group"] for row in rows],
        length=np.array([len(text) for text in texts], dtype=np.float64),
        zlib_share=np.array([len(zlib.compress(text, 6)) / len(text) for text in texts]),
        signals=np.array([[each.d_hat, each.coh_star, each.r] for each in summaries]),
    )


def told(estimate: Estimate) -> str:
    """Return a figure with its interval."""
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def tasks(texts: Texts) -> dict[str, Bools]:
    """Return, by name, which damaged texts are told from the normal ones."""
    found = {
        f"{kind}, {severity}": (texts.kinds == kind) & (texts.severities == severity)
        for severity in SEVERITIES
        for kind in KINDS
    }
    return {**found, "all kinds": texts.kinds != "normal"}


def discrimination(texts: Texts, draws: int) -> tuple[str, str]:
    """Return the tables of AUROC, of single scores and of fitted ones."""
    is_normal = texts.kinds == "normal"
    singles, sets = texts.singles(), texts.sets()
    tables = [
        [f"| kind, severity | n | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
        for names in (singles, sets)
    ]
    for name, is_task in tasks(texts).items():
        held = is_normal | is_task
        groups = [group for group, is_held in zip(texts.groups, held, strict=True) if is_held]
        drawn = group_draws(groups, draws, SEED)
        positive = is_task[held]
        of_singles = [
            told(auroc_estimate(each[held], positive, drawn)) for each in singles.values()
        ]
        of_sets = [
            told(auroc_estimate(cross_fitted(each[held], positive, groups), positive, drawn))
            for each in sets.values()
        ]
        for table, cells in zip(tables, (of_singles, of_sets), strict=True):
            table.append(f"| {name} | {positive.sum():,} | {' | '.join(cells)} |")
    return "\n".join(tables[0]), "\n".join(tables[1])


def flagged(texts: Texts, whole: Texts, features: Callable[[Texts], Floats]) -> tuple[Bools, Bools]:
    """Return which texts, and which whole answers, a detector flags at 1 % of normal ones.

    For each fold it is fitted on the other folds (normal texts, loops and repetition), its
    threshold is the one that 1 % of *their* normal texts lie above, and it judges this fold.
    """
    folds = np.array([fold_of(group) for group in texts.groups])
    folds_of_whole = np.array([fold_of(group) for group in whole.groups])
    is_normal = texts.kinds == "normal"
    is_sought = np.isin(texts.kinds, SOUGHT)
    ours, theirs = features(texts), features(whole)
    flags, flags_of_whole = np.zeros(len(ours), bool), np.zeros(len(theirs), bool)
    for fold in range(FOLDS):
        seen = folds != fold
        fitted_on = seen & (is_normal | is_sought)
        rule = fit_logistic(ours[fitted_on], is_sought[fitted_on])
        threshold = threshold_at(rule.score(ours[seen & is_normal]), RATE)
        flags[~seen] = rule.score(ours[~seen]) > threshold
        flags_of_whole[folds_of_whole == fold] = (
            rule.score(theirs[folds_of_whole == fold]) > threshold
        )
    return flags, flags_of_whole


def at_rate(texts: Texts, whole: Texts, draws: int) -> str:
    """Return the table of what is flagged at a threshold for 1 % of normal texts."""
    detectors: dict[str, Callable[[Texts], Floats]] = {
        "D̂, coh★, r": lambda each: each.signals,
        "r alone": lambda each: each.signals[:, 2:],
        "length, plain zlib": lambda each: np.column_stack((each.length, each.zlib_share)),
    }
    found = {name: flagged(texts, whole, features) for name, features in detectors.items()}
    lines = [f"| flagged of | n | {' | '.join(found)} |", "|---" * (len(found) + 2) + "|"]

    def line(name: str, held: Bools, groups: list[str], flags: list[Bools]) -> str:
        names = [group for group, is_held in zip(groups, held, strict=True) if is_held]
        drawn = group_draws(names, draws, SEED)
        cells = [told(share_estimate(each[held], drawn)) for each in flags]
        return f"| {name} | {held.sum():,} | {' | '.join(cells)} |"

    ours, theirs = [pair[0] for pair in found.values()], [pair[1] for pair in found.values()]
    lines.append(line("normal (false)", texts.kinds == "normal", texts.groups, ours))
    everything = np.ones(len(whole.groups), dtype=bool)
    lines.append(line("whole answers (false)", everything, whole.groups, theirs))
    damaged = [(name, held) for name, held in tasks(texts).items() if name != "all kinds"]
    lines += [line(name, held, texts.groups, ours) for name, held in damaged]
    return "\n".join(lines)


def report(data: Path, draws: int) -> str:
    """Return the report, Markdown."""
    texts = read(data / "degeneracy_semi.jsonl.gz", "text")
    whole = read(data / "responses.jsonl.gz", "response")
    normal = int((texts.kinds == "normal").sum())
    singles, fitted = discrimination(texts, draws)
    standing = (
        f"{len(texts.groups):,} texts in {len(set(texts.groups)):,} groups, {normal:,} of them "
        f"normal, and {len(whole.groups):,} whole answers; seed {SEED}, {draws:,} draws of groups."
    )
    return "\n\n".join(
        (standing, UNFITTED, singles, FITTED, fitted, FLAGGED, at_rate(texts, whole, draws))
    )


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.degeneracy")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="the folder of the two files; default: %(default)s",
    )
    parser.add_argument("--draws", type=int, default=DRAWS, help="default: %(default)s")
    parser.add_argument("--quote", type=Path, help="also put it between its marks in this file")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"--data: expected a folder, got none at {arguments.data}", file=sys.stderr)
        return 2
    text = report(arguments.data, arguments.draws)
    print(text)
    if arguments.quote:
        quote(arguments.quote, text, QUOTED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
