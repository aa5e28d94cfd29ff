"""Notes about what is being judged, and tasks for a process that may end."""

import gzip
from hashlib import sha256

import pytest

from fractal_lba.protocol.errors import ContractError, CorruptionError, Refusal
from fractal_lba.server.core.inbox_frame import BATCH, Received
from fractal_lba.server.core.poison import (
    Note,
    Poison,
    Task,
    Tried,
    decode_note,
    decode_task,
    digest_of,
    encode_note,
    encode_step,
    encode_task,
    last_step,
)

POISON = Poison(sha256="ab" * 32, bytes=5, noted_at="2026-11-21T06:00:00.000Z")


@pytest.mark.parametrize("note", [Note(), Note(run=(1, 2**63)), Note(run=(3,), poison=(POISON,))])
def test_a_note_says_what_was_noted(note: Note) -> None:
    assert decode_note(encode_note(note)) == note


def test_a_note_of_a_newer_program_is_refused_with_the_version_that_was_expected() -> None:
    data = encode_note(Note()).replace(b'"format_version": 1', b'"format_version": 2')
    with pytest.raises(ContractError, match="expected format version 1, got 2"):
        decode_note(data)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format_version": 1, "runs": []}', b"\xff"])
def test_what_is_no_note_is_damage(data: bytes) -> None:
    with pytest.raises(CorruptionError):
        decode_note(data)


def test_a_body_is_remembered_by_its_sha256() -> None:
    assert digest_of(b"body") == sha256(b"body").hexdigest()


def test_a_task_says_what_was_asked() -> None:
    received = Received(route=BATCH, content_encoding="gzip", tenant_header="acme")
    task = Task((Tried(received, b"\x00body"), Tried(Received(), b"")), 1, 7)
    assert decode_task(encode_task(task)) == task


@pytest.mark.parametrize(
    ("tried", "records"),
    [
        (Tried(Received(), b"a\nb"), [b"a\nb"]),
        (Tried(Received(route=BATCH), b"a\nb\n"), [b"a", b"b"]),
        (Tried(Received(route=BATCH, content_encoding="gzip"), gzip.compress(b"a")), [b"a"]),
    ],
    ids=["a record", "a batch", "a compressed batch"],
)
def test_the_records_of_a_body_are_those_that_a_server_judges(
    tried: Tried, records: list[bytes]
) -> None:
    assert list(tried.records()) == records


def test_a_batch_whose_encoding_is_broken_has_no_records() -> None:
    with pytest.raises(Refusal):
        Tried(Received(route=BATCH, content_encoding="gzip"), b"none").records()


@pytest.mark.parametrize(
    ("said", "step"),
    [
        (b"", None),
        (b"0", None),
        (encode_step(0, 0), (0, 0)),
        (encode_step(0, 1) + encode_step(12, 3), (12, 3)),
        (encode_step(0, 1) + b"1 ", (0, 1)),
    ],
)
def test_the_last_whole_line_says_what_a_process_did_when_it_ended(
    said: bytes, step: tuple[int, int] | None
) -> None:
    assert last_step(said) == step
