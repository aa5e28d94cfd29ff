"""The description of the calls is that of the calls there are."""

import ast
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web
from schemathesis.specs.openapi.definitions import OPENAPI_31
from tests.support.described import validator
from tests.support.signed import body

from fractal_lba.protocol.errors import RefusalCode
from fractal_lba.protocol.identity import pcs_id
from fractal_lba.server import http
from fractal_lba.server.core.answer import STATUS_OF, ServerCode
from fractal_lba.server.core.listing_request import LISTING_PARAMETERS
from fractal_lba.server.http.calls import OPERATIONS
from fractal_lba.server.http.openapi import document
from fractal_lba.server.http.request_id import HEADER

ROOT = Path(__file__).parents[4]
FOLDER = Path(next(iter(http.__path__)))
DOCUMENT = document()


def routes() -> Iterator[web.RouteDef]:
    """Return every route of every class of the HTTP layer that has some."""
    for found in pkgutil.iter_modules(http.__path__):
        module = importlib.import_module(f"fractal_lba.server.http.{found.name}")
        for value in vars(module).values():
            is_own = isinstance(value, type) and value.__module__ == module.__name__
            if is_own and callable(getattr(value, "routes", None)):
                # The table needs no more of an instance than its methods.
                yield from object.__new__(value).routes()


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }


def methods_of(route: web.RouteDef) -> set[str]:
    method = route.method.lower()
    return (
        {method, "head"} if method == "get" and route.kwargs.get("allow_head", True) else {method}
    )


def test_every_route_is_described_and_nothing_else_is() -> None:
    served = {
        (method, re.sub(r"\{(\w+):.*\}", r"{\1}", route.path))
        for route in routes()
        for method in methods_of(route)
    }
    assert len(served) >= 10
    assert served == set(operations())


def described_responses() -> Iterator[tuple[str, dict[str, Any]]]:
    for operation in operations().values():
        yield from operation["responses"].items()
    for response in DOCUMENT["components"]["responses"].values():
        for problem in problems_of(response):
            yield str(problem["properties"]["status"]["const"]), response


def problems_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    problem = response.get("content", {}).get("application/problem+json")
    return [] if problem is None else [problem["schema"]["allOf"][1]]


def test_every_code_is_described_under_its_status() -> None:
    described: dict[str, set[str]] = {}
    for status, response in described_responses():
        for problem in problems_of(response):
            for code in problem["properties"]["code"]["enum"]:
                described.setdefault(code, set()).add(status)
    assert set(described) == {code.value for code in (*RefusalCode, *ServerCode)} == set(STATUS_OF)
    for code, statuses in described.items():
        assert statuses == {str(STATUS_OF[code])}


def headers_set() -> set[str]:
    """Return the names of the headers that the HTTP layer gives an answer, at any place."""
    names = set()
    for module in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                target = node.targets[0]
                owner = target.value
                name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
                if name == "headers":
                    key = target.slice
                    names.add(str(key.value) if isinstance(key, ast.Constant) else ast.unparse(key))
    return names


def test_every_header_that_is_set_is_described_and_nothing_else_is() -> None:
    given = {HEADER if name == "HEADER" else name for name in headers_set()}
    # What answers is said in any message, and of no interest to a caller.
    assert given - {"Server"} == set(DOCUMENT["components"]["headers"])


def names_read(kind: str) -> set[str]:
    """Return the names that the HTTP layer looks up in ``request.KIND``, at any place."""
    names = set()
    for module in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            owner: ast.expr | None = None
            key: ast.expr | None = None
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                owner, key = node.func.value, node.args[0]
            elif isinstance(node, ast.Subscript):
                owner, key = node.value, node.slice
            if isinstance(owner, ast.Attribute) and owner.attr == kind:
                assert isinstance(key, ast.Constant), f"{module.name}: a name that is computed"
                names.add(str(key.value))
    return names


def described_parameters(where: str) -> set[str]:
    return {
        each["name"]
        for each in DOCUMENT["components"]["parameters"].values()
        if each["in"] == where
    }


def test_every_query_parameter_that_is_read_is_described() -> None:
    assert names_read("query") | set(LISTING_PARAMETERS) == described_parameters("query")


def test_every_parameter_is_that_of_a_call() -> None:
    used = {
        each["$ref"].rpartition("/")[2]
        for operation in operations().values()
        for each in operation["parameters"]
    }
    assert used == set(DOCUMENT["components"]["parameters"])


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_every_example_is_valid_by_its_own_schema(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    assert schema["examples"]
    for example in schema["examples"]:
        validator(schema).validate(example)


@pytest.mark.parametrize("name", DOCUMENT["components"]["parameters"])
def test_every_parameter_s_example_is_valid(name: str) -> None:
    parameter = DOCUMENT["components"]["parameters"][name]
    validator(parameter["schema"]).validate(parameter["example"])


def test_a_real_record_is_valid_and_one_with_more_is_not() -> None:
    schema = validator(DOCUMENT["components"]["schemas"]["Record"])
    members = json.loads(body(1))
    schema.validate(members)
    for wrong in ({"more": 1}, {"epoch": -1}, {"n": 2}, {"kid": "a b"}):
        assert not schema.is_valid({**members, **wrong})
    for name in ("schema", "version", "N_j", "ft"):
        assert not schema.is_valid({key: each for key, each in members.items() if key != name})


def test_the_file_is_the_document() -> None:
    held = json.loads((ROOT / "specs" / "openapi.json").read_text(encoding="utf-8"))
    assert held == DOCUMENT, "run: make openapi"


def test_the_document_is_openapi_3_1() -> None:
    # The meta-schema that the OpenAPI Initiative publishes, in the copy of schemathesis.
    assert OPENAPI_31["$id"] == "https://spec.openapis.org/oas/3.1/schema/2022-10-07"
    meta = jsonschema_rs.Draft202012Validator(OPENAPI_31)
    meta.validate(DOCUMENT)
    for name in ("openapi", "info"):
        assert not meta.is_valid({key: each for key, each in DOCUMENT.items() if key != name})
    assert not meta.is_valid({**DOCUMENT, "another": 1})


def inner_schemas(value: object, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every schema of the document that stands in an operation or a component."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in {"schema", "x-line-schema"}:
                yield f"{at}.{name}", inner
            else:
                yield from inner_schemas(inner, f"{at}.{name}")
    if isinstance(value, list):
        for place, inner in enumerate(value):
            yield from inner_schemas(inner, f"{at}.{place}")


def test_every_schema_is_one_of_json_schema_2020_12() -> None:
    # The meta-schema of OpenAPI leaves schemas to that of JSON Schema.
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    kinds = {**DOCUMENT["components"], "paths": DOCUMENT["paths"]}
    named = kinds.pop("schemas")
    elsewhere = [*inner_schemas(kinds)]
    assert len(elsewhere) > 100
    for where, schema in [*named.items(), *elsewhere]:
        assert jsonschema_rs.meta.is_valid({**draft, **schema}), where


def test_every_reference_has_an_end_and_every_component_is_referred_to() -> None:
    text = json.dumps(DOCUMENT)
    referred = set(re.findall(r'"\$ref": "#/components/([a-z]+/\w[\w-]*)"', text))
    kinds = {kind: DOCUMENT["components"][kind] for kind in ("schemas", "parameters")}
    assert referred - {each for each in referred if each.startswith("headers/")} == {
        f"{kind}/{name}" for kind, named in kinds.items() for name in named
    }


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [each.name for each in OPERATIONS]
    assert len(names) == len(set(names))


def test_every_answer_carries_what_the_request_is_called() -> None:
    for operation in operations().values():
        for status, response in operation["responses"].items():
            assert response["headers"]["X-Request-Id"]["required"]
            may_be_retried = status in {"429", "503"} and problems_of(response) != []
            if "content" in response:
                assert ("Retry-After" in response["headers"]) == may_be_retried


def test_a_record_that_is_shown_names_itself() -> None:
    shown = DOCUMENT["components"]["schemas"]["Record"]["examples"][0]
    assert shown["pcs_id"] == pcs_id(shown["merkle_root"], shown["epoch"], shown["shard_id"])
