"""The verdict on a sound record, check by check."""

from typing import Any

from tests.oracle.canonical_json import canonical_bytes
from tests.oracle.records import Record, record_digest
from tests.oracle.signals import budget_of, regime_of, rounded, theil_sen


def verdict(record: Record) -> dict[str, Any]:
    """Return what a decision says beside the record's own names, under parameters "1"."""
    counts = counts_of(record)
    claimed, coh_star, r = real(record, "D_hat"), real(record, "coh_star"), real(record, "r")
    d_hat = rounded(theil_sen(counts))
    budget = budget_of(claimed, coh_star, r)
    ft = record["ft"]
    assert isinstance(ft, dict)
    refusing = []
    if abs(d_hat - claimed) > 1e-6:
        refusing.append("d_hat_mismatch")
    if not consistent(counts):
        refusing.append("n_j_inconsistent")
    escalating = []
    if record["regime"] != regime_of(claimed, coh_star):
        escalating.append("regime_mismatch")
    if abs(budget - real(record, "budget")) > 1e-6:
        escalating.append("budget_deviation")
    if ft["degraded"]:
        escalating.append("degraded")
    return {
        "accepted": refusing == [],
        "escalated": refusing == [] and escalating != [],
        "reasons": refusing + escalating,
        "recomputed_D_hat": d_hat,
        "recomputed_budget": budget,
        "params_version": "1",
    }


def status(decided: dict[str, Any]) -> int:
    if not decided["accepted"]:
        return 422
    return 202 if decided["escalated"] else 200


def decision_body(record: Record, decided: dict[str, Any]) -> bytes:
    named = {"pcs_id": record["pcs_id"], "record_digest": record_digest(record)}
    return canonical_bytes(named | decided)


def consistent(counts: dict[int, int]) -> bool:
    powers = [2**k for k in range(1, 16)]  # version 0.1 goes up to 65,536
    for a, coarse in counts.items():
        if coarse > a * a * a:
            return False
        for b, fine in counts.items():
            if a < b and a in powers and b % a == 0 and coarse > fine:
                return False
    return True


def counts_of(record: Record) -> dict[int, int]:
    listed = record["N_j"]
    assert isinstance(listed, dict)
    return {int(scale): int(count) for scale, count in listed.items()}


def real(record: Record, name: str) -> float:
    value = record[name]
    assert isinstance(value, float | int)
    return float(value)
