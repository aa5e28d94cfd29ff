"""The demo for real, with fewer live seconds: what a newcomer runs first must tell the truth."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 150


def demo(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo.main_job", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def counts(output: str) -> dict[str, int]:
    """Return the lines of the report that are a count."""
    return {
        label.strip(): int(value)
        for label, value in re.findall(r"^  ([^:\n]+):\s+(\d+)$", output, re.MULTILINE)
    }


def test_the_demo_loses_nothing_and_its_three_counts_agree(tmp_path: Path) -> None:
    process = demo("--live-seconds", "3", "--folder", str(tmp_path / "demo"))
    output, _ = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, output
    assert "PASS" in output
    counted = counts(output)
    windows = counted["windows observed"]
    assert windows > 50
    assert counted["acknowledged  (agents' outboxes)"] == windows
    assert counted["stored        (fsck of the files)"] == windows
    assert counted["readable      (GET of every id)"] == windows
    assert counted["lost"] == 0
    assert counted["stored twice"] == 0
    half_way = re.search(r"(\d+) acknowledged, (\d+) waiting", output)
    assert half_way is not None, output
    acknowledged, waiting = map(int, half_way.groups())
    assert 0 < acknowledged < windows
    assert waiting > 0


def test_the_demo_fails_by_name_and_keeps_its_folder_where_nothing_can_start(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "server.toml").write_text("# somebody's\n")
    process = demo("--live-seconds", "1", "--folder", str(folder))
    output, _ = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 1, output
    assert "FAIL: DemoError: fractal-server init" in output
    assert str(folder) in output
    assert (folder / "server.toml").read_text() == "# somebody's\n"
