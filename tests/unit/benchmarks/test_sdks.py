"""What the SDKs' programs say becomes the table's lines; what is no figure is refused."""

import pytest
from benchmarks import sdks
from benchmarks.sdks import BenchError, parse_figures, rows, run_python
from tests.support.sdk_drivers import COMMANDS


@pytest.mark.parametrize("sdk", COMMANDS)
def test_each_sdk_has_its_lines_and_its_target(sdk: str) -> None:
    names = {name for row in rows(sdk) for name in (row.of, row.by) if name is not None}
    sample = dict.fromkeys(names, 2.0)
    figures = [row.figure(sdk, [sample] * sdks.RUNS) for row in rows(sdk)]
    assert figures[0].at_least == sdks.HMAC_RATES[sdk]
    assert all(figure.name.startswith(f"{sdk}: ") for figure in figures)
    ratios = [figure for figure in figures if figure.unit == "×"]
    assert {figure.samples[0] for figure in ratios} <= {1.0}
    assert len(ratios) == {"go": 1, "rust": 2}.get(sdk, 0)


def test_the_python_figures_are_measured_here() -> None:
    assert {name for row in rows("python") for name in [row.of]} == run_python(50).keys()


def test_figures_are_the_last_line_of_what_a_program_says() -> None:
    assert parse_figures("go", 'measuring\n{"a": 1, "b": 2.5}\n') == {"a": 1.0, "b": 2.5}


@pytest.mark.parametrize("output", ["", "done", "[1]", '{"a": "1"}', '{"a": 1}\ndone'])
def test_anything_else_is_refused(output: str) -> None:
    with pytest.raises(BenchError, match="go: expected figures on the last line"):
        parse_figures("go", output)
