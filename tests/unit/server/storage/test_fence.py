"""A fence names one failure, the first, and nothing that a message of others could hold."""

import logging

import pytest

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.storage.fence import Fence
from fractal_lba.server.telemetry.metrics import Metrics

COUNTED = 'flk_wal_errors_total{stream="shard-0"} %s'


def test_the_first_failure_is_kept_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    fence = Fence("shard-0", meter=metrics)
    with caplog.at_level(logging.ERROR):
        fence.put_up(DurabilityError("shard-0: expected a write, got EIO"))
        fence.put_up(DurabilityError("shard-0: expected an open stream, got a fenced one"))
    assert fence.reason == "shard-0: expected a write, got EIO"
    assert [record.message for record in caplog.records] == ["fenced"]
    assert COUNTED % "1.0" in metrics.exposition().decode()


def test_a_failure_after_it_was_lifted_is_another_one() -> None:
    metrics = Metrics()
    fence = Fence("shard-0", meter=metrics)
    fence.put_up(DurabilityError("first"))
    fence.lift()
    reasons = [fence.reason]
    fence.put_up(DurabilityError("second"))
    assert [*reasons, fence.reason] == [None, "second"]
    assert COUNTED % "2.0" in metrics.exposition().decode()


def test_a_failure_nobody_expected_is_named_by_its_kind_alone() -> None:
    fence = Fence("shard-0", meter=Metrics())
    fence.put_up(ValueError("a piece of a payload"))
    assert fence.reason == "shard-0: ValueError"
