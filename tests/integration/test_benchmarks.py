"""The benchmarks run: with a load too small to measure anything, but through the same code."""

import time
from pathlib import Path

import pytest
from benchmarks import append, batch, flood, idle, rolling, siege, signals, submit, verify
from benchmarks.figures import SAMPLES_MIN, Figure
from benchmarks.machine import header
from benchmarks.run import quote, taken


def test_checking_a_record_gives_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "RECORDS", 10)
    monkeypatch.setattr(time, "process_time", time.perf_counter)
    figures = verify.measure()
    assert [figure.at_most for figure in figures] == [2.5, None, None, None, 2.0] + [None] * 5
    assert [figure.at_least for figure in figures] == [None] * 6 + [100_000] + [None] * 3
    assert all(sample > 0 for figure in figures for sample in figure.samples)


def test_summarising_gives_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "REPEATS": 1,
        "SHAPES": ((64, 8),),
        "TEXT_BYTES": 200,
        "LARGEST": (512, 64),
    }.items():
        monkeypatch.setattr(signals, name, value)
    # As it counts in ticks of the processor's clock, so few calls may take none.
    monkeypatch.setattr(time, "process_time", time.perf_counter)
    figures = signals.measure(tmp_path)
    assert [figure.at_most for figure in figures] == [0.5, None, 0.5, None, 64]
    assert all(sample > 0 for figure in figures[:-1] for sample in figure.samples)
    assert all(0 <= sample < 64 for sample in figures[-1].samples)
    assert list(tmp_path.iterdir()) == []


def test_appending_gives_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append, "APPENDS", 2)
    figures = append.measure(tmp_path)
    assert len(figures) == 6
    assert all(sample > 0 for figure in figures for sample in figure.samples)


def test_waiting_for_a_dead_server_gives_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ROUND_S": 0.1, "SETTLED_S": 0.0, "WINDOWS": 3}.items():
        monkeypatch.setattr(idle, name, value)
    share, requests = idle.measure(tmp_path)
    assert (share.at_most, requests.at_most) == (1.0, None)
    assert {len(share.samples), len(requests.samples)} == {idle.ROUNDS}
    assert idle.ROUNDS >= SAMPLES_MIN


def test_submitting_gives_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "RECORDS", submit.CONNECTIONS * 2)
    monkeypatch.setattr(submit, "OF_EMPTY_MIN", {submit.CONNECTIONS: 0.45, 96: 0.6})
    figures = submit.measure(tmp_path)
    assert [figure.at_least for figure in figures if figure.at_least] == [0.45, 0.6]
    assert {len(figure.samples) for figure in figures} == {submit.ROUNDS}
    assert submit.ROUNDS >= SAMPLES_MIN


def test_batches_give_their_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LINES": 20, "BATCHES": 2}.items():
        monkeypatch.setattr(batch, name, value)
    # As it counts in ticks of the processor's clock, so few records may take none.
    monkeypatch.setattr(batch, "cpu_s", lambda _: time.perf_counter())
    figures = batch.measure(tmp_path)
    assert [figure.at_least for figure in figures if figure.at_least] == [100_000]
    assert [figure.at_most for figure in figures if figure.at_most] == [2.5, 1.4]
    assert {len(figure.samples) for figure in figures} == {batch.ROUNDS}
    assert batch.ROUNDS >= SAMPLES_MIN


def test_a_siege_gives_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CROWD": 40, "BOMBS": 2, "BOMB_BYTES": 20 * siege.MIB, "BODIES": 2}.items():
        monkeypatch.setattr(siege, name, value)
    figures = siege.measure(tmp_path)
    assert [figure.at_most for figure in figures] == [64, 256, 256]
    assert all(0 <= sample < 96 for figure in figures for sample in figure.samples)


def test_flooding_gives_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "QUIET_RECORDS", 16)
    monkeypatch.setattr(flood, "QUIET_PER_S", 200)
    monkeypatch.setattr(flood, "FLOOD_RECORDS", 50)
    monkeypatch.setattr(flood, "FLOOD_CONNECTIONS", 8)
    figures = flood.measure(tmp_path)
    assert [figure.at_most for figure in figures] == [2.0, None, None] * 2
    assert {len(figure.samples) for figure in figures} == {flood.ROUNDS}
    assert flood.ROUNDS >= SAMPLES_MIN


def test_a_load_of_refusals_or_repeats_is_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "RECORDS", submit.CONNECTIONS)
    refused = tmp_path / "refused"
    refused.write_bytes(b'{"not":"a record"}\n' * submit.CONNECTIONS)
    files = submit.prepare(tmp_path)
    assert len({path.read_bytes() for path in files}) == 2 * (submit.ROUNDS + 1)
    token = submit.token_of(tmp_path)
    with submit.serving(submit.real_command(tmp_path), tmp_path / "log") as (pid, port):
        with pytest.raises(RuntimeError, match="expected 64 × 200"):
            submit.load(pid, port, refused, token)
        submit.load(pid, port, files[0], token)
        with pytest.raises(RuntimeError, match="expected distinct records, got 64 repeats"):
            submit.load(pid, port, files[0], token)


def test_a_module_that_fails_takes_no_others_figures_with_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> list[Figure]:
        raise RuntimeError("its server: expected to start, got none")

    figure = Figure(name="x", unit="s", samples=(1.0,) * SAMPLES_MIN)
    figures, failed = taken([("one", lambda: [figure]), ("two", fail), ("three", lambda: [figure])])
    assert (figures, failed) == ([figure, figure], ["two"])
    assert "its server: expected to start" in capsys.readouterr().err


def test_replacing_workers_gives_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "ROLLS", 2)
    (outage,) = rolling.measure(tmp_path)
    assert all(0 < sample < 600_000 for sample in outage.samples)


def test_the_header_tells_what_a_figure_depends_on(tmp_path: Path) -> None:
    lines = header(tmp_path, batch_records_max=256)
    for fact in ("commit", "cores", "Python", "fsync", "dedup", "batch", "disk", "client"):
        assert f"- {fact}: " in lines


def test_the_output_is_quoted_in_the_place_of_the_one_before(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("a\n<!-- bench -->\nold\n<!-- /bench -->\nz\n", encoding="utf-8")
    quote(document, "new", "bench")
    quote(document, "newer", "bench")
    whole = "a\n<!-- bench -->\nnewer\n<!-- /bench -->\nz\n"
    assert document.read_text(encoding="utf-8") == whole
    with pytest.raises(RuntimeError, match="expected <!-- another --> and <!-- /another -->"):
        quote(document, "x", "another")
    assert document.read_text(encoding="utf-8") == whole
