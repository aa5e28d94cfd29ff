"""Standard input, row by row."""

import io

import pytest

from fractal_lba.agent.sources.standard_input import StandardInput
from fractal_lba.protocol import ContractError


def rows(word: str, sent: bytes, *, is_repairing: bool = False) -> list[list[float]]:
    source = StandardInput(word, None, io.BytesIO(sent), is_repairing=is_repairing)
    found = []
    for units in source.units():
        assert not isinstance(units, bytes)
        found += [list(row) for row in units]
    return found


def test_each_row_is_handed_over_by_itself() -> None:
    assert rows("csv:-", b"a,b\n1,2\n\n3,4") == [[1, 2], [3, 4]]
    assert rows("ndjson:-", b'{"b":1,"a":2}\n{"a":4,"b":3}') == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("word", "sent", "message"),
    [
        ("csv:-", b"a\n1\nx\n", "csv:-: row 2, column 'a': expected a number, got a text of 1"),
        ("csv:-", b"a\n1\n1e400\n", "csv:-: row 2, column 0: expected a finite number"),
        ("ndjson:-", b'{"a":1}\n[]\n', "ndjson:-: row 2: expected an object, got an array"),
        ("csv:-", b"", "csv:-: expected a first row of column names, got none"),
    ],
)
def test_a_bad_row_is_refused_with_its_number(word: str, sent: bytes, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        rows(word, sent)


def test_what_is_missing_may_be_left_to_a_repair() -> None:
    (_, (a, b)) = rows("csv:-", b"a,b\n1,2\n,4\n", is_repairing=True)
    assert a != a  # noqa: PLR0124 - not a number
    assert b == 4
