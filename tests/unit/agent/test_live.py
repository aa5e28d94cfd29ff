"""The live source: the host's counters, from texts as Linux writes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fractal_lba.agent.sources.live import COLUMNS, LiveSource
from fractal_lba.protocol import ContractError

STAT = """\
cpu  {user} 20 300 4000 50 6 7 8 9 10
cpu0 1 2 3 4 5 6 7 8 9 10
intr {interrupts} 5 6 7
ctxt 9000
btime 1767225600
processes 5
"""
NET = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0
  eth0: {received} 1 0 0 0 0 0 0 2000 1 0 0 0 0 0 0
 wlan0:5 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0
"""
MEMORY = "MemTotal:       1000 kB\nMemFree: 5 kB\nMemAvailable:    {memory} kB\n"


def host(**values: int) -> Callable[[str], str]:
    given = {"user": 100, "interrupts": 70, "received": 1000, "memory": 640} | values
    texts = {"stat": STAT, "net/dev": NET, "meminfo": MEMORY}
    return lambda name: texts[name].format(**given)


def sample_of(*hosts: Callable[[str], str]) -> list[tuple[float, ...]]:
    left = list(hosts)
    source = LiveSource(lambda name: left[0](name))  # noqa: PLW0108 - the first one changes
    rows = []
    while left:
        rows.append(source.sample())
        left.pop(0)
    return rows


def test_counters_are_increases_and_memory_is_a_level() -> None:
    _, row = sample_of(host(), host(user=103, interrupts=75, received=1500, memory=600))
    assert dict(zip(COLUMNS, row, strict=True)) == {
        "cpu_user_jiffies": 3.0,
        "cpu_system_jiffies": 0.0,
        "cpu_idle_jiffies": 0.0,
        "cpu_iowait_jiffies": 0.0,
        "context_switches": 0.0,
        "interrupts": 5.0,
        "net_received_bytes": 500.0,
        "net_sent_bytes": 0.0,
        "mem_available_kib": 600.0,
    }


def test_the_first_sample_has_no_increases() -> None:
    (row,) = sample_of(host(memory=640))
    assert row == (0.0,) * 8 + (640.0,)


def test_the_loopback_is_no_network() -> None:
    louder = lambda name: host()(name).replace("lo: 999", "lo: 5999")  # noqa: E731
    _, row = sample_of(host(), louder)
    assert row[COLUMNS.index("net_received_bytes")] == 0.0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stat", ""),
        ("stat", "cpu  1 2 3\nintr 1\nctxt 1\n"),
        ("stat", "cpu  1 2 3 4 5 6 x\nintr 1\nctxt 1\n"),
        ("stat", "cpu  1 2 3 4 5 6 7\nintr\nctxt 1\n"),
        ("net/dev", "eth0: 1 2 3\n"),
        ("net/dev", "eth0: a 1 0 0 0 0 0 0 7 1\n"),
        ("meminfo", "MemTotal: 5 kB\n"),
        ("meminfo", "MemAvailable:\n"),
    ],
)
def test_counters_in_another_format_are_named(name: str, text: str) -> None:
    source = LiveSource(lambda asked: text if asked == name else host()(asked))
    with pytest.raises(ContractError, match=f"live source: expected .*/proc/{name}"):
        source.sample()


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="this system has no /proc")
def test_this_host_can_be_sampled() -> None:
    source = LiveSource()
    source.sample()
    row = source.sample()
    assert len(row) == len(COLUMNS)
    assert row[-1] > 0
    assert all(value >= 0 for value in row)
