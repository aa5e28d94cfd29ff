"""Outcomes: each check alone, and together, in the order in which reasons are listed."""

import math
import struct
from typing import Final

from golden_vectors.generator.bodies import Members, bent, body, judged, text
from golden_vectors.generator.files import Note, VectorFile

from fractal_lba.protocol import budget, d_hat, rounded

NOTES: Final = {
    "BoxCounting": Note(
        explanation="Cells of sets whose dimension is known: log 2 / log 3 for the Cantor set, "
        "log 8 / log 3 for the Sierpinski carpet, log 20 / log 3 for the Menger sponge, 1, 2 and 3 "
        "for a line, a square and a cube.",
        source="Falconer, Fractal Geometry, 3rd ed., chapters 2 and 9",
    ),
    "Alone": Note(explanation="One check fails."),
    "Together": Note(explanation="Several checks fail; all are listed, in the order of the table."),
    "DHat": Note(explanation="D_hat about its tolerance of 1e-6, kept 1e-12 from the edge."),
    "Budget": Note(explanation="budget about its tolerance of 1e-6, kept 1e-12 from the edge."),
    "ExactEdge": Note(
        explanation="A difference that is exactly the double 1e-6, which is within the tolerance."
    ),
    "Consistency": Note(
        explanation="N_j(a) <= N_j(b) where a is a power of two that divides b; N_j(s) <= s^3."
    ),
    "Regime": Note(explanation="Both sides of the thresholds 0.70, 1.5 and 2.6, which count in."),
    "Rounding": Note(
        explanation="Budgets at a tie of the ninth decimal, where the rule, floor(|x| * 1e9 + 0.5) "
        "/ 1e9 with each step in double, differs from rounding the exact value."
    ),
    "Median": Note(explanation="D_hat of an even number of slopes is the mean of the middle two."),
}
TOLERANCE: Final = 1e-6
D_HAT: Final = "d_hat_mismatch"
N_J: Final = "n_j_inconsistent"
REGIME: Final = "regime_mismatch"
BUDGET: Final = "budget_deviation"
DEGRADED: Final = "degraded"

# Scale to cells, and D_hat as the theory has it, rounded to 9 decimals.
KNOWN: Final = {
    "the Cantor set": ({3: 2, 9: 4, 27: 8, 81: 16}, "0.630929754"),
    "the Sierpinski carpet": ({3: 8, 9: 64, 27: 512}, "1.892789261"),
    "the Menger sponge": ({3: 20, 9: 400, 27: 8000}, "2.726833028"),
    "a line": ({2: 2, 4: 4, 8: 8, 16: 16, 32: 32}, "1"),
    "a square": ({2: 4, 4: 16, 8: 64, 16: 256}, "2"),
    "a cube": ({2: 8, 4: 64, 8: 512, 16: 4096}, "3"),
    "a point": ({2: 1, 4: 1}, "0"),
}
CHECKS: Final = (D_HAT, N_J, REGIME, BUDGET, DEGRADED)
FLAT: Final = {2: 4, 4: 8, 8: 16, 16: 32}
# Nine cells of eight at scale 2.
CROWDED: Final = {2: 9, 4: 18, 8: 36, 16: 72}

# Cells, and whether they can come from points in a cube.
CELLS: Final = (
    ("as many as before", {2: 4, 4: 4, 8: 4}, True),
    ("fewer at the double", {2: 4, 4: 3, 8: 8}, False),
    ("fewer two scales on", {2: 4, 4: 8, 8: 3}, False),
    ("fewer at 6 than at 3, which is no power of two", {3: 5, 6: 4}, True),
    ("fewer at 5 than at 2, which does not divide it", {2: 5, 5: 4}, True),
    ("fewer at 6 than at 2", {2: 5, 6: 4}, False),
    ("fewer at 12 than at 4, not at 6", {4: 10, 12: 9}, False),
    ("fewer at 1,024 than at 512", {512: 9, 1024: 8}, False),
    ("eight of eight", {2: 8, 4: 8}, True),
    ("nine of eight", {2: 9, 4: 9}, False),
    ("65 of 64", {2: 8, 4: 65}, False),
    ("28 of 27", {3: 28, 7: 28}, False),
)


def outcomes_file() -> VectorFile:
    """Return the cases of ``outcomes.json``."""
    made = VectorFile(
        name="outcomes",
        algorithm='The verdict on a record, version 1.0, under parameters "1"',
        specification="specs/pcs.md, section 6",
        notes=NOTES,
    )
    for comment, (n_j, slope) in KNOWN.items():
        stated = {"recomputed_D_hat": real(slope)}
        add(made, comment, "BoxCounting", judged(n_j, coh_star=0.5, r=0.5), (), **stated)
    for chosen in range(1, 2 ** len(CHECKS)):
        reasons = tuple(check for place, check in enumerate(CHECKS) if chosen >> place & 1)
        flag = "Alone" if len(reasons) == 1 else "Together"
        add(made, " and ".join(reasons), flag, failing(reasons), reasons)
    add_tolerances(made)
    for comment, n_j, holds in CELLS:
        members = judged(n_j, coh_star=0.5, r=0.5)
        add(made, comment, "Consistency", members, () if holds else (N_J,))
    add_regimes(made)
    for n_j in (
        {2: 2, 4: 3, 8: 8},
        {2: 2, 4: 5, 8: 9, 16: 30},
        {2: 3, 4: 7, 8: 20, 16: 33, 32: 90},
    ):
        members = judged(n_j, coh_star=0.5, r=0.5)
        add(made, f"of {len(n_j)} scales", "Median", members, ())
    for r in ties():
        add(made, f"r of {r:.9f}", "Rounding", judged(FLAT, coh_star=0.5, r=r), ())
    fallbacks = bent(judged(FLAT, coh_star=0.25, r=0.5), {"ft.fallbacks": ["column 3 lost"]})
    add(made, "fallbacks, but not degraded", "Alone", fallbacks, ())
    return made


def add(
    made: VectorFile,
    comment: str,
    flag: str,
    members: Members,
    reasons: tuple[str, ...],
    **stated: object,
) -> None:
    """Add a verdict; what follows from the reasons is stated with them."""
    accepted = D_HAT not in reasons and N_J not in reasons
    escalated = accepted and bool(reasons)
    made.valid(
        comment,
        flag,
        body(text(members)),
        reasons=list(reasons),
        accepted=accepted,
        escalated=escalated,
        status=(202 if escalated else 200) if accepted else 422,
        **stated,
    )


def failing(reasons: tuple[str, ...]) -> Members:
    """Return a record for which exactly these checks fail."""
    n_j = CROWDED if N_J in reasons else FLAT
    slope = d_hat(n_j) + (0.25 if D_HAT in reasons else 0)
    right = budget(slope, 0.5, 0.5)
    return judged(
        n_j,
        coh_star=0.5,
        r=0.5,
        D_hat=slope,
        budget=right + 0.125 if BUDGET in reasons else right,
        regime="non_sticky" if REGIME in reasons else "mixed",
        ft={"degraded": DEGRADED in reasons, "fallbacks": [], "clock_skew_ms": 0},
    )


def ties() -> list[float]:
    """Return a few r for which the rule of rounding and the exact one part."""
    found = []
    for place in range(1, 400):
        r = (2 * place + 1) * 5 / 1e9
        share = (0.10 + 0.30 * (1 - r)) + 0.20 * 0.5
        if rounded(share) != round(share, 9):
            found.append(r)
    return found[:6]


def add_tolerances(made: VectorFile) -> None:
    """Add D_hat and budget on both sides of their tolerances, and exactly at them."""
    for off in (0.999999e-6, -0.999999e-6, 1.000001e-6, -1.000001e-6):
        beyond = abs(off) > TOLERANCE
        members = judged(FLAT, coh_star=0.5, r=0.5, D_hat=1 + off)
        add(made, f"D_hat off by {off}", "DHat", members, (D_HAT,) if beyond else ())
        members = judged(FLAT, coh_star=0.5, r=0.5)
        members["budget"] += off
        add(made, f"budget off by {off}", "Budget", members, (BUDGET,) if beyond else ())
    # A point: D_hat is 0, and the difference is the number in the record itself.
    point = {2: 1, 4: 1}
    for slope, reasons in (
        (TOLERANCE, ()),
        (-TOLERANCE, ()),
        (math.nextafter(TOLERANCE, 1), (D_HAT,)),
        (-math.nextafter(TOLERANCE, 1), (D_HAT,)),
    ):
        members = judged(point, coh_star=0.5, r=0.5, D_hat=slope)
        add(made, f"D_hat {slope} where it is 0", "ExactEdge", members, reasons)


def add_regimes(made: VectorFile) -> None:
    """Add both sides of each threshold, the record's own D_hat being off by far."""
    for slope, coh_star, name in (
        (1.5, 0.7, "sticky"),
        (1.5, 0.699999999, "mixed"),
        (1.500000001, 0.7, "mixed"),
        (-1.0, 1.0, "sticky"),
        (2.6, 0.7, "non_sticky"),
        (2.599999999, 0.1, "mixed"),
        (2.6, 0.1, "non_sticky"),
    ):
        for claimed in ("sticky", "mixed", "non_sticky"):
            members = judged(FLAT, coh_star=coh_star, r=0.5)
            members["D_hat"] = slope
            members["regime"] = claimed
            members["budget"] = budget(slope, coh_star, 0.5)
            reasons = (D_HAT,) if claimed == name else (D_HAT, REGIME)
            add(made, f"{claimed} at {slope} and {coh_star}", "Regime", members, reasons)


def real(literal: str) -> dict[str, str]:
    """Return a double by its text and bits."""
    return {"text": literal, "bits": struct.pack(">d", float(literal)).hex()}
