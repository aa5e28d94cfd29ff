import re

import pytest

from fractal_lba.server.core.disk_budget import Budget, Measured, forecast
from fractal_lba.server.telemetry.metrics import Metrics

AN_EMPTY_FOLDER = Measured(used=0, free=1, index=0, at_s=0.0)
NAMES = {
    "flk_ingest_total": "counter",
    "flk_dedup_hits_total": "counter",
    "flk_accepted_total": "counter",
    "flk_escalated_total": "counter",
    "flk_rejected_total": "counter",
    "flk_conflicts_total": "counter",
    "flk_signature_errors_total": "counter",
    "flk_wal_errors_total": "counter",
    "flk_wal_torn_bytes_total": "counter",
    "flk_wal_damaged_ranges": "gauge",
    "flk_keyring_errors_total": "counter",
    "flk_poison_bodies": "gauge",
    "flk_worker_up": "gauge",
    "flk_worker_restarts_total": "counter",
    "flk_tls_errors_total": "counter",
    "flk_connections_cut_total": "counter",
    "flk_unidentified_refused_total": "counter",
    "flk_tls_handshake_errors_total": "counter",
    "flk_disk_used_bytes": "gauge",
    "flk_disk_free_bytes": "gauge",
    "flk_disk_room_bytes": "gauge",
    "flk_disk_growth_bytes_per_second": "gauge",
    "flk_disk_full_in_seconds": "gauge",
    "flk_disk_index_bytes": "gauge",
    "flk_disk_index_growth_bytes_per_second": "gauge",
    "flk_forgotten_total": "counter",
    "flk_forgetting_behind_seconds": "gauge",
    "flk_ledger_removed_bytes_total": "counter",
    "flk_scrub_bytes_total": "counter",
    "flk_scrub_problems": "gauge",
    "flk_scrub_last_finished_seconds": "gauge",
    "flk_submit_seconds": "histogram",
    "flk_fsync_seconds": "histogram",
    "flk_batch_records": "histogram",
}


def used() -> Metrics:
    """Return metrics in which every series has a value."""
    metrics = Metrics()
    metrics.ingested()
    for status, code, is_replayed in (
        (200, None, False),
        (202, None, False),
        (200, None, True),
        (409, "pcs_id_conflict", False),
        (401, "signature_invalid", False),
        (422, None, False),
    ):
        metrics.answered(tenant="acme", status=status, code=code, is_replayed=is_replayed)
    metrics.submit_took(0.001)
    metrics.synced(stream="inbox-0", seconds=0.001, frames=3)
    metrics.wal_failed(stream="inbox-0")
    metrics.recovered(stream="inbox-0", torn_bytes=7, damaged_ranges=2)
    metrics.disk_measured(forecast(AN_EMPTY_FOLDER, Budget(used_max=0, free_min=0), None))
    metrics.forgot(2)
    metrics.forgetting_is_behind(3_600.0)
    metrics.ledger_removed(5)
    metrics.scrub_read(7)
    metrics.scrubbed(problems={"ledger_damaged": 2}, finished_s=9.0)
    metrics.keyring_refused()
    metrics.tls_refused()
    metrics.connection_cut("room")
    metrics.handshake_failed()
    metrics.unidentified_refused()
    return metrics


def samples(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition().decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in lines
        if not line.startswith("#")
    }


def test_the_names_are_the_documented_ones_and_no_others() -> None:
    text = used().exposition().decode()
    assert dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)) == NAMES
    series = {re.split(r"[{ ]", name)[0] for name in samples(used())}
    histogram = re.compile("_(bucket|count|sum)$")
    assert {histogram.sub("", name) for name in series} == set(NAMES)
    assert "_total_total" not in text
    assert "_created" not in text


@pytest.mark.parametrize(
    ("status", "code", "is_replayed", "counted"),
    [
        (200, None, False, {'flk_accepted_total{tenant="acme"}'}),
        (
            202,
            None,
            False,
            {'flk_accepted_total{tenant="acme"}', 'flk_escalated_total{tenant="acme"}'},
        ),
        (200, None, True, {'flk_dedup_hits_total{tenant="acme"}'}),
        (422, None, True, {'flk_dedup_hits_total{tenant="acme"}'}),
        (422, None, False, {'flk_rejected_total{code="not_accepted",tenant="acme"}'}),
        (409, "pcs_id_conflict", False, {'flk_conflicts_total{tenant="acme"}'}),
        (
            401,
            "unknown_key",
            False,
            {'flk_rejected_total{code="unknown_key",tenant="acme"}', "flk_signature_errors_total"},
        ),
        (
            403,
            "tenant_mismatch",
            False,
            {'flk_rejected_total{code="tenant_mismatch",tenant="acme"}'},
        ),
    ],
)
def test_an_answer_is_counted_once_and_where_it_belongs(
    status: int,
    code: str | None,
    is_replayed: bool,  # noqa: FBT001 - a column of the table
    counted: set[str],
) -> None:
    metrics = Metrics()
    metrics.answered(tenant="acme", status=status, code=code, is_replayed=is_replayed)
    counts = {name: value for name, value in samples(metrics).items() if value}
    assert counts.pop('flk_worker_up{worker="0"}') == 1
    assert counts == dict.fromkeys(counted, 1.0)


def test_what_did_not_verify_is_nobodys() -> None:
    metrics = Metrics()
    metrics.answered(tenant=None, status=400, code="malformed_json", is_replayed=False)
    assert samples(metrics)['flk_rejected_total{code="malformed_json",tenant=""}'] == 1


def test_what_recovery_found_is_added_up_and_what_is_damaged_now_is_not() -> None:
    metrics = Metrics()
    for damaged in (3, 1):
        metrics.recovered(stream="a", torn_bytes=5, damaged_ranges=damaged)
    assert samples(metrics)['flk_wal_torn_bytes_total{stream="a"}'] == 10
    assert samples(metrics)['flk_wal_damaged_ranges{stream="a"}'] == 1
