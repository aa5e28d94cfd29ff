"""What each of several workers may hold of what is set for the server."""

import pytest

from fractal_lba.server.config import Settings, budget_of, divided, workers_of
from fractal_lba.server.core.disk_budget import Budget

TOTALS = (
    "connections_max",
    "requests_in_flight_max",
    "bytes_in_flight_max",
    "answer_bytes_max",
    "unidentified_in_flight_max",
    "unidentified_rate_per_s",
    "unidentified_bytes_per_s",
    "unidentified_cpu_share",
    "refusals_per_s",
    "left_open_max",
    "exports_max",
    "inbox_evidence_bytes_max",
)
OWN = (
    "address_rate_per_s",
    "address_burst",
    "body_timeout_s",
    "batch_records_max",
    "tenant_rate_per_s",
    "served_at_once_shared_max",
)


def test_one_worker_has_everything() -> None:
    assert divided(Settings(), 1) == Settings()


@pytest.mark.parametrize("workers", [2, 3, 4, 7])
def test_what_all_workers_hold_together_is_what_is_set(workers: int) -> None:
    whole, part = Settings(), divided(Settings(), workers)
    for name in TOTALS:
        total = workers * getattr(part, name)
        least = {"bytes_in_flight_max": 16_777_216, "answer_bytes_max": 4_194_304}.get(name, 1)
        assert total >= getattr(whole, name) * 0.999, name
        assert total < getattr(whole, name) + workers * least, name
    for name in OWN:
        assert getattr(part, name) == getattr(whole, name), name


@pytest.mark.parametrize("workers", [2, 5, 64])
def test_no_address_and_no_tenant_may_have_more_than_a_worker_has(workers: int) -> None:
    part = divided(Settings(), workers)
    for share, total in (
        ("connections_per_address_max", "connections_max"),
        ("requests_in_flight_per_address_max", "requests_in_flight_max"),
        ("requests_in_flight_per_tenant_max", "requests_in_flight_max"),
        ("bytes_in_flight_per_address_max", "bytes_in_flight_max"),
        ("bytes_in_flight_per_tenant_max", "bytes_in_flight_max"),
        ("unidentified_bytes_in_flight_max", "bytes_in_flight_max"),
    ):
        assert 1 <= getattr(part, share) <= getattr(part, total), share


def test_each_further_shard_keeps_a_segment_of_the_disk_free_unless_nothing_is_to_be() -> None:
    settings = Settings(disk_bytes_max=7, disk_free_bytes_min=1_000, segment_bytes_max=70_000)
    assert budget_of(settings, 1) == Budget(used_max=7, free_min=1_000)
    assert budget_of(settings, 4) == Budget(used_max=7, free_min=211_000)
    assert budget_of(Settings(disk_free_bytes_min=0), 4).free_min == 0


def test_by_default_there_is_no_worker_without_a_core_or_a_shard() -> None:
    assert workers_of(Settings(), 1) == 1
    cores = workers_of(Settings(), 64)
    assert [workers_of(Settings(), shards) for shards in (2, 4)] == [min(2, cores), min(4, cores)]
    assert workers_of(Settings(workers=3), 1) == 3
