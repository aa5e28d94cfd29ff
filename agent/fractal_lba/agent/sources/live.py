"""The live source: this host's counters from ``/proc``, one row for each sample, as ``points/1``.

Counters that only grow (processor time, context switches, interrupts, network bytes) are given as
their increase since the sample before; memory is given as it is. The time of a sample is no column:
a window says what the machine did, not when. A live source has no position: what was sampled and
not yet in the outbox when the agent died is gone, and its stream's epochs go on.
"""

import math
from collections.abc import Callable
from pathlib import Path

from fractal_lba.protocol import ContractError

KEY = "live:"

COLUMNS = (
    "cpu_user_jiffies",
    "cpu_system_jiffies",
    "cpu_idle_jiffies",
    "cpu_iowait_jiffies",
    "context_switches",
    "interrupts",
    "net_received_bytes",
    "net_sent_bytes",
    "mem_available_kib",
)

# The last column is a level; all before it are counters.
_COUNTERS = len(COLUMNS) - 1

_PROC = Path("/proc")
_SENT_BYTES = 8  # behind the eight fields of what was received


class LiveSource:
    """Samples of the host."""

    def __init__(
        self, read: Callable[[str], str] | None = None, *, is_repairing: bool = False
    ) -> None:
        """Prepare sampling.

        Args:
            read: Returns the text of a file below ``/proc``; None for the real ones.
            is_repairing: Counters that are not there are NaN, for whoever repairs the window.
        """
        self._read = read or _read_proc
        self._is_repairing = is_repairing
        self._last: tuple[float, ...] | None = None

    def sample(self) -> tuple[float, ...]:
        """Return one row, in the order of ``COLUMNS``; the first one has no increases yet.

        Raises:
            ContractError: The system does not have these counters; the row is not counted.
        """
        now = (
            *self._counters("stat", _processor, 6),
            *self._counters("net/dev", _network, 2),
            *self._counters("meminfo", _memory, 1),
        )
        if all(map(math.isnan, now)):
            raise ContractError("live source: expected counters below /proc, got none of them")
        last = now if self._last is None else self._last
        self._last = now
        grown = (new - old for new, old in zip(now[:_COUNTERS], last[:_COUNTERS], strict=True))
        return (*map(float, grown), float(now[_COUNTERS]))

    def _counters(
        self, name: str, parse: Callable[[str], tuple[int, ...]], count: int
    ) -> tuple[float, ...]:
        try:
            return parse(self._read(name))
        except (KeyError, IndexError, ValueError, ContractError) as error:
            if self._is_repairing:
                return (math.nan,) * count
            if isinstance(error, ContractError):
                raise
            raise ContractError(
                f"live source: expected /proc/{name} as Linux has it, got another format"
            ) from error


def _read_proc(name: str) -> str:
    try:
        return (_PROC / name).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise ContractError(
            f"live source: expected /proc/{name} as Linux has it, got {error.strerror}"
        ) from error


def _processor(stat: str) -> tuple[int, ...]:
    """Return user, system, idle and I/O wait time in jiffies, context switches and interrupts.

    Source: proc_stat(5).
    """
    fields = {name: rest for name, _, rest in (line.partition(" ") for line in stat.splitlines())}
    user, nice, system, idle, iowait, irq, softirq = map(int, fields["cpu"].split()[:7])
    switches = int(fields["ctxt"])
    interrupts = int(fields["intr"].split(maxsplit=1)[0])
    return user + nice, system + irq + softirq, idle, iowait, switches, interrupts


def _network(dev: str) -> tuple[int, ...]:
    """Return the bytes received and sent on all interfaces but the loopback.

    Source: proc_pid_net(5), ``/proc/net/dev``.
    """
    received = sent = 0
    for line in dev.splitlines():
        interface, colon, rest = line.partition(":")
        if colon and interface.strip() != "lo":
            fields = rest.split()
            received += int(fields[0])
            sent += int(fields[_SENT_BYTES])
    return received, sent


def _memory(meminfo: str) -> tuple[int, ...]:
    """Return the memory available to new work, in KiB.

    Source: proc_meminfo(5).
    """
    fields = {
        name: rest for name, _, rest in (line.partition(":") for line in meminfo.splitlines())
    }
    return (int(fields["MemAvailable"].split()[0]),)
