"""The part of JSON Schema 2020-12 that ``golden_vectors/schemas`` uses; any other is an error."""

import re
from typing import Any, Final

_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
_KNOWN: Final = frozenset(
    {"$schema", "$defs", "$ref", "title", "type", "enum", "const", "pattern", "minimum", "anyOf"}
    | {"required", "properties", "additionalProperties", "items", "minItems", "maxItems"}
)


def faults(value: object, schema: dict[str, Any], root: dict[str, Any], at: str = "$") -> list[str]:
    """Return where a value is not as its schema says, a path for each; none if it is."""
    if schema.keys() - _KNOWN:
        raise ValueError(f"{at}: keywords {schema.keys() - _KNOWN} are not implemented")
    if "$ref" in schema:
        return faults(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, at)
    if "anyOf" in schema:
        found = [faults(value, each, root, at) for each in schema["anyOf"]]
        return [] if [] in found else min(found, key=len)
    if not _is_type(value, schema.get("type")) or not _is_among(value, schema):
        return [at]
    if isinstance(value, dict):
        return _in_object(value, schema, root, at)
    return _in_array(value, schema, root, at) if isinstance(value, list) else []


def _is_type(value: object, wanted: str | None) -> bool:
    if wanted is None:
        return True
    if wanted == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, _TYPES[wanted])


def _is_among(value: object, schema: dict[str, Any]) -> bool:
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return False
    return not isinstance(value, int) or value >= schema.get("minimum", value)


def _in_object(
    value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str
) -> list[str]:
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    found = [f"{at}.{name}" for name in schema.get("required", ()) if name not in value]
    for name, inner in value.items():
        if name in properties:
            found += faults(inner, properties[name], root, f"{at}.{name}")
        elif others is False:
            found.append(f"{at}.{name}")
        else:
            found += faults(inner, others, root, f"{at}.{name}")
    return found


def _in_array(value: list[Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return [at]
    items = schema.get("items", {})
    return [f for i, item in enumerate(value) for f in faults(item, items, root, f"{at}.{i}")]
