import io
import json
import logging
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest

from fractal_lba.server.telemetry.logs import FIELDS, JsonFormatter, about_request, configure

SECRET = "secret-word"  # noqa: S105 - what must not be written


@pytest.fixture
def logger() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("test")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield logger, out
    logger.removeHandler(handler)
    handler.close()


def written(out: io.StringIO) -> dict[str, Any]:
    (line,) = out.getvalue().splitlines()
    document: dict[str, Any] = json.loads(line)
    return document


def test_a_line_is_one_object_with_the_fields_that_are_named(
    logger: tuple[logging.Logger, io.StringIO],
) -> None:
    log, out = logger
    log.info("settled", extra={"pcs_id": "ab", "status": 200, "error": "two\nlines"})
    line = written(out)
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "test",
        "event": "settled",
        "pcs_id": "ab",
        "status": 200,
        "error": "two\nlines",
    }


def test_a_field_that_is_not_named_is_left_out(
    logger: tuple[logging.Logger, io.StringIO],
) -> None:
    log, out = logger
    given = dict.fromkeys(("body", "record", "sig", "token", "secret", "headers", "key"), SECRET)
    assert not given.keys() & set(FIELDS)
    log.error("settled", extra=given)
    assert SECRET not in out.getvalue()


def test_a_line_names_the_request_it_is_about(
    logger: tuple[logging.Logger, io.StringIO],
) -> None:
    log, out = logger
    context = copy_context()
    context.run(about_request, "one")
    context.run(log.info, "settled")
    assert written(out)["request_id"] == "one"
    log.info("drained")
    assert "request_id" not in out.getvalue().splitlines()[1]


def test_an_exception_is_told_by_its_type_and_places_and_not_by_its_words(
    logger: tuple[logging.Logger, io.StringIO],
) -> None:
    log, out = logger
    try:
        int(SECRET)
    except ValueError:
        log.exception("a request met a bug")
    line = written(out)
    assert line["exception"] == "ValueError"
    assert __name__.rpartition(".")[2] in line["stack"][0]
    assert SECRET not in out.getvalue()


def test_what_has_no_json_form_is_written_all_the_same(
    logger: tuple[logging.Logger, io.StringIO],
) -> None:
    log, out = logger
    log.info("damage", extra={"damage": [object]})
    assert written(out)["damage"] == [str(object)]


def test_the_process_logs_json_from_the_level_on_and_nothing_of_aiohttps() -> None:
    root = logging.getLogger()
    before = (root.level, root.handlers[:], logging.getLogger("aiohttp.server").level)
    out = io.StringIO()
    try:
        # configure closes and replaces the handlers that are there: they are given back below.
        root.handlers = []
        configure("warning", out)
        logging.getLogger("any").info("not this")
        logging.getLogger("any").warning("this")
        logging.getLogger("aiohttp.server").error("what a client sent: %s", SECRET)
    finally:
        root.level, root.handlers = before[0], before[1]
        logging.getLogger("aiohttp.server").setLevel(before[2])
    assert written(out)["event"] == "this"
