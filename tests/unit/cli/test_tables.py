"""Tables read from bytes: the same numbers however they are spelled, and no guessing."""

import io

import numpy as np
import pytest

from fractal_lba.cli.tables import read_table
from fractal_lba.protocol import ContractError

ROWS = np.array([[0.5, -1.0, 3.0], [2.25, 1e-3, 4.0], [-7.0, 0.0, 5.5], [1.0, 1.0, 1.0]])
CSV = b"0.5,-1,3\n2.25,1e-3,4\n-7,0,5.5\n1,1,+1.\n"


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


SAME_TABLES = {
    "plain": CSV,
    "with names": b"x,y,z\n" + CSV,
    "with numbers in the names": b"1,2,z\n" + CSV,
    "byte order mark": b"\xef\xbb\xbf" + CSV,
    "carriage returns": CSV.replace(b"\n", b"\r\n"),
    "no last line end": CSV.rstrip(b"\n"),
    "empty lines": b"\n" + CSV.replace(b"\n", b"\n\n"),
    "quoted cells": b'"0.5","-1",3\n' + CSV.split(b"\n", 1)[1],
    "spaces around": CSV.replace(b",", b" , "),
    "npy": npy(ROWS),
    "npy, column by column": npy(np.asfortranarray(ROWS)),
    "npy, big-endian": npy(ROWS.astype(">f8")),
}


@pytest.mark.parametrize("name", SAME_TABLES)
def test_the_same_table_in_any_spelling_is_the_same(name: str) -> None:
    table = read_table(SAME_TABLES[name])
    assert table.shape == (4, 3)
    assert (table == ROWS).all()


def test_one_column_is_a_table_of_one_column() -> None:
    assert read_table(b"1\n2\n3\n").tolist() == [[1.0], [2.0], [3.0]]
    assert read_table(b"x\n1\n2\n3\n").tolist() == [[1.0], [2.0], [3.0]]


def test_special_values_are_read_so_that_their_row_can_be_named() -> None:
    table = read_table(b"1\nnan\n-Infinity\n1e400\ninf\n")
    assert np.isnan(table[1, 0])
    assert table[[2, 3, 4], 0].tolist() == [-np.inf, np.inf, np.inf]


REFUSED = {
    "no bytes": (b"", "table: expected rows, got none"),
    "empty lines alone": (b"\n\n", "table: expected rows, got none"),
    "a word": (b"x,y\n1,2\n3,four\n", "line 3, cell 2: expected a number, got another text"),
    "an empty cell": (b"x,y\n1,2\n\n3,\n", "line 4, cell 2: expected a number, got an empty one"),
    "a cell too many": (b"1,2\n3,4,5\n", "line 2: expected 2 cells, got 3"),
    "a cell too few": (b"1,2\n3\n", "line 2: expected 2 cells, got 1"),
    "an underscore": (b"1\n1_000\n", "line 2, cell 1: expected a number, got another text"),
    "other digits": ("1\n٣\n".encode(), "line 2, cell 1: expected a number, got another text"),
    "hexadecimal": (b"1\n0x10\n", "line 2, cell 1: expected a number, got another text"),
    "a comma for the point": (b'1\n"1,5"\n', "line 2, cell 1: expected a number"),
    "an open quote": (b'1\n"2\n3\n', "line 3: expected CSV, got something else"),
    "a quote inside": (b'1\n"2"3\n', "line 2: expected CSV, got something else"),
    "UTF-16": ("1\n2\n".encode("utf-16"), "table: expected .npy or UTF-8 text, got other bytes"),
    "npy cut": (npy(ROWS)[:-1], "table: expected a sound .npy file, got a damaged one"),
    "npy cut in its header": (npy(ROWS)[:20], "table: expected a sound .npy file"),
    "npy of another version": (
        npy(ROWS).replace(b"NUMPY\x01", b"NUMPY\x09", 1),
        "table: expected a sound .npy file",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused_by_line_and_cell(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(ContractError) as refused:
        read_table(data)
    assert str(refused.value).startswith(message)


def test_every_cut_of_an_npy_file_is_refused() -> None:
    whole = npy(ROWS)
    for length in range(len(b"\x93NUMPY"), len(whole)):
        with pytest.raises(ContractError):
            read_table(whole[:length])


@pytest.mark.parametrize(
    ("shape", "named"),
    [("65536, 99999999999", "65536x99999999999"), ("65537,", "65537"), ("3, 4097", "3x4097")],
)
def test_a_header_that_promises_too_much_is_not_believed(shape: str, named: str) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({shape}), }}".encode()
    padded = header.ljust(117) + b"\n"
    data = b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded
    with pytest.raises(ContractError, match=f"4096 columns, got shape {named}$"):
        read_table(data)


def test_columns_are_taken_by_name_in_the_order_given() -> None:
    table = b"time,z, x ,y\nnoon,3,0.5,-1\none,4,2.25,1e-3\ntwo,5.5,-7,0\nthree,1,1,1\n"
    assert (read_table(table, columns=["x", "y", "z"]) == ROWS).all()


@pytest.mark.parametrize(
    ("columns", "data", "message"),
    [
        (["w"], b"x,y\n1,2\n", "columns: expected 'w' once in the first line, got it 0 times"),
        (["x"], b"x,x\n1,2\n", "columns: expected 'x' once in the first line, got it 2 times"),
        (["x"], npy(ROWS), "columns: expected a CSV file with names, got .npy"),
    ],
)
def test_columns_that_are_not_there_are_refused(
    columns: list[str], data: bytes, message: str
) -> None:
    with pytest.raises(ContractError) as refused:
        read_table(data, columns=columns)
    assert str(refused.value) == message
