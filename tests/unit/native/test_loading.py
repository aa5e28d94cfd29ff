"""What was built is loaded, left aside or refused, as ``FLBA_NATIVE`` says."""

import sys
import types

import pytest

from fractal_lba.native.loading import INTERFACE, load

NAME = "native_code_of_a_test"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType(NAME)
    vars(module)["INTERFACE"] = INTERFACE
    monkeypatch.setitem(sys.modules, NAME, module)
    return module


@pytest.mark.parametrize("switch", ["", "1", "anything"])
def test_what_was_built_is_taken(switch: str, built: types.ModuleType) -> None:
    assert load(switch, NAME) == (built, None)


def test_it_can_be_left_aside(built: types.ModuleType) -> None:
    assert built.__name__ == NAME
    assert load("0", NAME) == (None, "FLBA_NATIVE=0")


def test_without_it_python_does_it_all() -> None:
    assert load("", NAME) == (None, "not built")


def test_where_it_is_required_its_absence_says_what_to_do() -> None:
    with pytest.raises(ImportError, match=r"FLBA_NATIVE=1: .*make native"):
        load("1", NAME)


def test_that_of_another_version_is_refused(built: types.ModuleType) -> None:
    vars(built)["INTERFACE"] = INTERFACE + 1
    message = f"native code: expected interface {INTERFACE}, got {INTERFACE + 1}"
    assert load("", NAME) == (None, message)
    with pytest.raises(ImportError, match="make native"):
        load("1", NAME)


def test_a_file_of_no_version_is_refused(built: types.ModuleType) -> None:
    del vars(built)["INTERFACE"]
    assert load("", NAME)[0] is None
