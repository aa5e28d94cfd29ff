"""The report on degenerate text: read, fitted and flagged as it says, on texts made here."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import degeneracy
from benchmarks.degeneracy import Texts, flagged, main, read, tasks
from benchmarks.discrimination import Logistic, fit_logistic, fold_of, threshold_at

GROUPS = 60
WORDS = ("pump", "valve", "inlet", "bearing", "pressure", "litre", "minute", "dry", "clog", "told")


def prose(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, words)) + f" {rng.integers(10**9)}"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as `main` reads it: every group a normal text and damaged ones."""
    rng = np.random.default_rng(3)
    folder = tmp_path_factory.mktemp("data")
    rows, whole = [], []
    for group in range(GROUPS):
        name = f"he:{group}"
        text = prose(rng, 40)
        rows.append({"group": name, "text": text, "kind": "normal", "severity": "none"})
        for kind in degeneracy.KINDS:
            severity = degeneracy.SEVERITIES[group % 2]
            damaged = {"loop": text[:40] * 8, "repetition": text + " really" * 30}
            rows.append(
                {
                    "group": name,
                    "text": damaged.get(kind, prose(rng, 40)),
                    "kind": kind,
                    "severity": severity,
                }
            )
        whole.append({"group": name, "response": prose(rng, 60)})
    write(folder / "degeneracy_semi.jsonl.gz", rows)
    write(folder / "responses.jsonl.gz", whole)
    return folder


def test_the_report_tells_what_it_stands_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "signals.md"
    document.write_text("<!-- degeneracy -->\n<!-- /degeneracy -->\n", encoding="utf-8")
    command = ["degeneracy", "--data", str(data), "--draws", "20", "--quote", str(document)]
    monkeypatch.setattr("sys.argv", command)
    assert main() == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "360 texts in 60 groups, 60 of them normal, and 60 whole answers; seed 42, 20 draws of"
    )
    assert document.read_text(encoding="utf-8") == (
        f"<!-- degeneracy -->\n{out}<!-- /degeneracy -->\n"
    )
    for name in (*tasks(read(data / "degeneracy_semi.jsonl.gz", "text")), "whole answers (false)"):
        assert f"\n| {name} | " in out
    # Every cell is a figure with its interval, and the loops made here are found.
    cells = re.findall(r"(\S+) \[(\S+), (\S+)\]", out)
    assert len(cells) == 11 * 5 + 11 * 3 + 12 * 3
    assert all(0.0 <= float(low) <= float(high) <= 1.0 for _, low, high in cells)
    assert "| loop, severe | 30 | " in out
    loops = re.search(r"\| loop, severe \| 30 \| (\S+) .*? \| (\S+) ", out)
    assert loops is not None
    assert float(loops.group(2)) == 1.0  # by plain zlib


def test_a_missing_folder_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["degeneracy", "--data", str(tmp_path / "no")])
    assert main() == 2
    assert capsys.readouterr().err.startswith("--data: expected a folder, got none at ")


def test_a_detector_never_saw_the_group_it_judges(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = read(data / "degeneracy_semi.jsonl.gz", "text")
    whole = read(data / "responses.jsonl.gz", "response")
    fits, thresholds = [], []

    def noted_fit(features: np.ndarray, is_positive: np.ndarray) -> Logistic:
        fits.append({texts.groups[int(number)] for number in features[:, 1]})
        return fit_logistic(features, is_positive)

    def compressible_and_number(each: Texts) -> np.ndarray:
        return np.column_stack((each.signals[:, 2], np.arange(len(each.groups))))

    def noted_threshold(scores: np.ndarray, rate: float) -> float:
        thresholds.append(len(scores))
        return threshold_at(scores, rate)

    monkeypatch.setattr(degeneracy, "fit_logistic", noted_fit)
    monkeypatch.setattr(degeneracy, "threshold_at", noted_threshold)
    flags, flags_of_whole = flagged(texts, whole, compressible_and_number)
    groups = {f"he:{group}" for group in range(GROUPS)}
    assert fits == [{each for each in groups if fold_of(each) != fold} for fold in range(5)]
    assert thresholds == [len(seen) for seen in fits]  # one normal text in each group
    assert flags[texts.kinds == "loop"].mean() > 0.9
    assert flags[texts.kinds == "normal"].mean() < 0.1
    assert flags_of_whole.shape == (GROUPS,)
