"""The checks of ``doctor``: each looks at one thing and says what to do about it.

The rule: a check that cannot look fails with the reason; none raises, and none changes anything but
one file of its own in the folder it is asked to measure, which it removes.
"""

import os
import resource
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol import KeyringError

# The release is younger than this, and no certificate or key is meant for the end of the century.
_CLOCK_MIN_S: Final = 1_735_689_600  # 2025-01-01
_CLOCK_MAX_S: Final = 4_102_444_800  # 2100-01-01
_SYNCS: Final = 20
_SYNC_BYTES: Final = 4_096
_SYNC_SECONDS_MAX: Final = 5.0  # on a struggling disk fewer are measured
# A decision waits for two syncs: at 20 ms each it takes longer than the network, at 250 ms a
# client's patience is at stake.
_SYNC_WARN_MS, _SYNC_FAIL_MS = 20.0, 250.0

# One segment is 64 MiB; a day of a busy stream takes gigabytes.
_FREE_FAIL_BYTES: Final = 256 * 1024 * 1024
_FREE_WARN_BYTES: Final = 5 * 1024 * 1024 * 1024

# A connection is a file; 1,024 is what a login shell gets, and too few for a server.
_FILES_FAIL, _FILES_WARN = 256, 4_096

_KEY_ENDS_WARN_MS: Final = 30 * 24 * 3_600 * 1_000


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found, and what to do where it is not ok."""

    check: str
    status: Status
    found: str
    advice: str = ""


def clock(now_s: float) -> Finding:
    """Look whether the clock (seconds since 1970) can be right."""
    found = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s))
    if _CLOCK_MIN_S <= now_s < _CLOCK_MAX_S:
        return Finding(check="clock", status=Status.OK, found=found)
    return Finding(
        check="clock",
        status=Status.FAIL,
        found=f"{found}, which cannot be",
        advice="set the clock and keep it set (chrony, systemd-timesyncd): keys are valid in time",
    )


def files() -> Finding:
    """Look how many files a process may hold open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = [
        "unlimited" if limit == resource.RLIM_INFINITY else str(limit) for limit in (soft, hard)
    ]
    status = graded(
        float("inf") if soft == resource.RLIM_INFINITY else soft,
        warn_below=_FILES_WARN,
        fail_below=_FILES_FAIL,
    )
    return Finding(
        check="open files",
        status=status,
        found=f"{shown[0]} at once, at most {shown[1]}",
        advice=""
        if status is Status.OK
        else "a server needs one for each connection: LimitNOFILE=65536 in its unit, or ulimit -n",
    )


def space(folder: Path) -> Finding:
    """Look how much room is left where a folder is."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return _unusable("free space", folder, error)
    status = graded(usage.free, warn_below=_FREE_WARN_BYTES, fail_below=_FREE_FAIL_BYTES)
    return Finding(
        check="free space",
        status=status,
        found=f"{usage.free / 2**30:.1f} GiB of {usage.total / 2**30:.1f} GiB in {folder}",
        advice=""
        if status is Status.OK
        else "make room or take a larger disk: a full one answers 503 until there is room",
    )


def syncs(folder: Path) -> Finding:
    """Measure how long a small append takes to be on the disk of a folder."""
    times_ms = []
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".fractal-lba-doctor-") as file:
            handle, ends = file.fileno(), time.monotonic() + _SYNC_SECONDS_MAX
            for _ in range(_SYNCS):
                os.write(handle, b"\0" * _SYNC_BYTES)
                started = time.perf_counter()
                os.fdatasync(handle)
                times_ms.append((time.perf_counter() - started) * 1_000)
                if time.monotonic() > ends:
                    break
    except OSError as error:
        return _unusable("disk sync", folder, error)
    median = statistics.median(times_ms)
    status = graded(-median, warn_below=-_SYNC_WARN_MS, fail_below=-_SYNC_FAIL_MS)
    return Finding(
        check="disk sync",
        status=status,
        found=f"median {median:.2f} ms of {len(times_ms)}, {1_000 / max(median, 1e-6):,.0f} a "
        f"second, in {folder}",
        advice=""
        if status is Status.OK
        else "every answer waits for it: use a local SSD, and no network file system",
    )


def keyring(path: Path, now_ms: int) -> Finding:
    """Look whether a keyring is private, whole, and has keys that are valid now."""
    try:
        ring = load_keyring(path)
    except KeyringError as error:
        return Finding(
            check="keyring",
            status=Status.FAIL,
            found=str(error),
            advice="chmod 600, or make it again: fractal-lba keys generate, or fractal-server init",
        )
    valid = [key for key in ring.keys.values() if key.is_valid_at(now_ms)]
    signing = [key for key in valid if key.secret is not None]
    found = (
        f"{len(ring.keys)} keys, {len(valid)} valid now, {len(signing)} of them with a secret; "
        f"{len(ring.tokens)} tokens"
    )
    ending = sorted(
        key.kid
        for key in valid
        if key.not_after_ms is not None and key.not_after_ms - now_ms < _KEY_ENDS_WARN_MS
    )
    if not valid:
        status, advice = Status.FAIL, "make a key: fractal-lba keys generate"
    elif ending:
        status = Status.WARN
        found += f"; within 30 days ends: {', '.join(ending)}"
        advice = "make the next key and give it to its agent before: fractal-lba keys generate"
    else:
        status, advice = Status.OK, ""
    return Finding(check="keyring", status=status, found=found, advice=advice)


def graded(value: float, *, warn_below: float, fail_below: float) -> Status:
    """Return how a value that should be large is to be taken."""
    if value < fail_below:
        return Status.FAIL
    return Status.WARN if value < warn_below else Status.OK


def _unusable(check: str, folder: Path, error: OSError) -> Finding:
    return Finding(
        check=check,
        status=Status.FAIL,
        found=f"{folder}: {error.strerror}",
        advice="name a folder that this user can write into",
    )
