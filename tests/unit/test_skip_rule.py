"""The rule of tests/conftest.py, from outside: a skip is named, and fails with FLBA_REQUIRE=all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import parse_allowed_skips

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    tests = tmp_path / "project" / "tests"
    tests.mkdir(parents=True)
    shutil.copy(CONFTEST, tests / "conftest.py")
    (tests / "support").mkdir()
    for name in ("memory", "tracing", "coverage_gate"):
        shutil.copy(CONFTEST.parent / f"support/{name}.py", tests / "support")
    (tests / "allowed_skips.txt").write_text("# none\n")
    (tests / "test_one.py").write_text(
        "import pytest\n\n\ndef test_passes():\n    pass\n\n\n"
        "def test_needs_something():\n    pytest.skip('no something here')\n"
    )
    return tests.parent


def run(suite: Path, require: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FLBA_REQUIRE": require, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for name in [name for name in environment if name.startswith("PYTEST_XDIST_")]:
        del environment[name]  # of the run that this test is part of
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(suite)]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", *options, "tests"],
        cwd=suite,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_an_ordinary_run_names_a_skip_with_its_reason_and_passes(suite: Path) -> None:
    done = run(suite, "")
    assert done.returncode == 0, done.stdout
    assert "skipped: 1" in done.stdout
    assert "test_one.py::test_needs_something: no something here" in done.stdout


def test_a_skip_fails_where_everything_is_required(suite: Path) -> None:
    done = run(suite, "all")
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "no something here" in done.stdout


def test_a_skipped_module_fails_where_everything_is_required(suite: Path) -> None:
    (suite / "tests" / "test_two.py").write_text(
        "import pytest\n\npytest.skip('no vectors', allow_module_level=True)\n"
    )
    (suite / "tests" / "test_one.py").unlink()
    assert run(suite, "all").returncode not in (0, 5)


def test_a_skip_named_with_a_true_proof_passes(suite: Path) -> None:
    (suite / "tests" / "allowed_skips.txt").write_text(
        "tests/test_one.py::test_needs* absent ../something it is not here\n"
    )
    done = run(suite, "all")
    assert done.returncode == 0, done.stdout
    assert "no something here" in done.stdout


def test_a_skip_whose_proof_is_false_fails(suite: Path) -> None:
    (suite.parent / "something").mkdir()
    (suite / "tests" / "allowed_skips.txt").write_text(
        "tests/test_one.py::test_needs* absent ../something it is not here\n"
    )
    assert run(suite, "all").returncode == 1


@pytest.mark.parametrize(("require", "code"), [("", 0), ("all", 1)])
def test_with_several_workers_skips_are_named_once_and_lines_are_printed(
    suite: Path, require: str, code: int
) -> None:
    (suite / "tests" / "test_two.py").write_text(
        "import pytest\n\n\ndef test_tells(tell):\n    tell('told here', 'reached 7 calls')\n\n\n"
        "def test_expected_to_fail():\n    pytest.xfail('it is known')\n"
    )
    (suite / "tests" / "test_three.py").write_text(
        "import pytest\n\npytest.skip('no vectors', allow_module_level=True)\n"
    )
    done = run(suite, require, "-p", "xdist.plugin", "-n", "2")
    assert done.returncode == code, done.stdout
    lines = done.stdout.splitlines()
    assert sum(" told here " in line for line in lines) == 1
    assert lines.count("reached 7 calls") == 1
    assert sum(" skipped: 2 " in line for line in lines) == 1
    assert lines.count("tests/test_one.py::test_needs_something: no something here") == 1
    assert lines.count("tests/test_three.py: no vectors") == 1


def test_a_line_without_a_proof_is_refused_with_its_number(tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match="line 2: expected NODE-ID-PATTERN absent PATH WHY"):
        parse_allowed_skips("# a comment\ntests/test_one.py because\n", tmp_path)
