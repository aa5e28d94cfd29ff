"""Settings read once into frozen values, every wrong one refused with its name.

A setting comes from, the later winning: its default, ``server.toml``, the environment (``FLBA_``
and the name in upper case), a flag of the command line (``--name-with-dashes``).
"""

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fractal_lba.protocol.canonical import SAFE_INTEGER_MAX
from fractal_lba.protocol.errors import ContractError
from fractal_lba.protocol.keyring import TENANT
from fractal_lba.protocol.undecodable import UNDECODABLE
from fractal_lba.server.config.settings import Settings
from fractal_lba.server.config.tenant_table import TenantTable
from fractal_lba.server.config.wrong_type import wrong_setting
from fractal_lba.server.core.ring import SHARDS_MAX, WEIGHT_MAX, ShardSpec, read_shard

ENVIRONMENT_PREFIX = "FLBA_"

_FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}
_SHOWN_MAX = 200
_COUNT_DIGITS_MAX = 9
SHARDS_DEFAULT = "4"
"""The set never changes: room for a worker on each core of a small machine, or of its successor."""
LOG_LEVELS = ("debug", "info", "warning", "error")


def load_settings(path: Path, environment: Mapping[str, str], flags: Mapping[str, str]) -> Settings:
    """Read the settings from a file, the environment and flags.

    Args:
        path: ``server.toml``.
        environment: Names and values; those without the prefix are not looked at.
        flags: Setting names and values as given on the command line.

    Raises:
        ContractError: The file cannot be read, or a setting is unknown or wrong; the message names
            it.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ContractError(
            f"{path}: expected a readable settings file, got {error.strerror}"
        ) from error
    except (ValueError, RecursionError) as error:
        # Beside TOML: other bytes than UTF-8, an integer of thousands of digits, nesting.
        raise ContractError(f"{path}: expected TOML, got {error}") from error
    settings = _convert(values, str(path))
    from_environment = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _RESERVED
    }
    for source, texts in (("environment", from_environment), ("command line", flags)):
        if texts:
            merged = msgspec.to_builtins(settings) | {
                name: _from_text(name, text, source) for name, text in texts.items()
            }
            settings = _convert(merged, source)
    _check(settings)
    return settings


def descriptions() -> dict[str, str]:
    """Return what each setting means, by its name, in the order they are shown."""
    return {name: _description(field.type) for name, field in _FIELDS.items()}


def to_toml(settings: Settings) -> str:
    """Write settings as ``server.toml``, each under its meaning."""
    lines = []
    for name, meaning in descriptions().items():
        if name == "tenants":
            continue  # tables stand after every value
        value = getattr(settings, name)
        lines += [f"# {meaning}", f"{name} = {_toml(value)}", ""]
    lines.append(f"# {descriptions()['tenants']}")
    for tenant, table in settings.tenants.items():
        lines.append(f"[tenants.{_toml(tenant)}]")
        members = msgspec.to_builtins(table).items()
        lines += [*(f"{name} = {_toml(value)}" for name, value in members), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _toml(value: object) -> str:
    """Write a string, number, boolean or tuple of strings as TOML does: as JSON but for two things.

    It knows no pairs of surrogates, and wants U+007F escaped.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _description(annotated: Any) -> str:  # noqa: ANN401 - typing has no type for Annotated
    return str(annotated.__metadata__[0].description)


_RESERVED = frozenset(f"{ENVIRONMENT_PREFIX}{name}" for name in ("REQUIRE", "NATIVE"))
"""No settings: the first is read by the test suite, the second by `fractal_lba.native`."""


def resolve(base: Path, settings: Settings, name: str) -> Path:
    """Return the path a setting names, relative to the folder of ``server.toml``."""
    return base / str(getattr(settings, name))


def secret_value(setting: str, reference: str, base: Path) -> str:
    """Return what an ``env:NAME`` or ``file:PATH`` reference holds.

    Raises:
        ContractError: It is neither, or is not there; the message never holds the value.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in os.environ:
            raise ContractError(f"{setting}: expected the variable {name} to be set, got none")
        return os.environ[name]
    if kind == "file":
        try:
            return (base / name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ContractError(
                f"{setting}: {reference}: expected a readable file, got {error.strerror}"
            ) from error
    raise ContractError(f"{setting}: expected env:NAME or file:PATH, got neither")


def metrics_credentials(settings: Settings, base: Path) -> tuple[str, str] | None:
    """Return user and password of ``GET /metrics``, ``None`` where it is open.

    Raises:
        ContractError: The password is not there.
    """
    if not settings.metrics_user:
        return None
    password = secret_value("metrics_password", settings.metrics_password, base)
    return settings.metrics_user, password


def shard_specs(texts: Sequence[str]) -> tuple[ShardSpec, ...]:
    """Return the shards that a setting names.

    Raises:
        ContractError: One of them is none, one is named twice, or there are too many.
    """
    shards = []
    for text in texts:
        if (shard := read_shard(text)) is None:
            raise ContractError(
                f"shards: expected NAME or NAME:WEIGHT, the name of [a-z0-9-] and the weight 1 to"
                f" {WEIGHT_MAX}, got {_clipped(repr(text))}"
            )
        shards.append(shard)
    if len(shards) > SHARDS_MAX:
        raise ContractError(f"shards: expected at most {SHARDS_MAX}, got {len(shards)}")
    if len({shard.name for shard in shards}) < len(shards):
        raise ContractError("shards: expected each name once, got one twice")
    return tuple(shards)


def shard_set(text: str) -> tuple[ShardSpec, ...]:
    """Return the shards that a number or a list of names asks for.

    Raises:
        ContractError: See ``shard_specs``.
    """
    if not text.isascii() or not text.isdecimal():
        return shard_specs([part.strip() for part in text.split(",")])
    count = int(text[:_COUNT_DIGITS_MAX])
    if not 1 <= count <= SHARDS_MAX:
        raise ContractError(f"shards: expected 1 to {SHARDS_MAX}, got {_clipped(text)}")
    return tuple(ShardSpec(name=f"shard-{number}") for number in range(count))


def listen_address(settings: Settings) -> tuple[str, int]:
    """Return the host and the port to bind.

    Raises:
        ContractError: It is not HOST:PORT.
    """
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - the largest port
        raise ContractError(
            "listen: expected HOST:PORT with a port of 0 to 65535, got "
            f"{_clipped(repr(settings.listen))}"
        )
    return host.strip("[]"), int(port)


def _from_text(name: str, text: str, source: str) -> Any:  # noqa: ANN401 - checked by the conversion that follows
    if name not in _FIELDS:
        raise ContractError(f"{source}: expected a known setting, got {_clipped(repr(name))}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ContractError(f"{source}: {name}: expected UTF-8, got other bytes") from error
    if name == "shards":
        return [part.strip() for part in text.split(",")] if text else []
    if name == "tenants":
        try:
            return msgspec.json.decode(text)
        except UNDECODABLE as error:
            raise ContractError(
                f"{source}: tenants: expected JSON, got {_clipped(error)}"
            ) from error
    if isinstance(_FIELDS[name].default, str):
        return text
    try:
        return msgspec.convert(text, _FIELDS[name].type, strict=False)
    except msgspec.ValidationError as error:
        raise ContractError(f"{source}: {_clipped(wrong_setting(error, text, name))}") from error


def _convert(values: Mapping[str, Any], source: str) -> Settings:
    tenants = values.get("tenants")
    for tenant, table in tenants.items() if isinstance(tenants, dict) else ():
        if not TENANT.fullmatch(tenant):
            raise ContractError(
                f"{source}: tenants: expected tenants by name, got {_clipped(repr(tenant))}"
            )
        try:
            msgspec.convert(table, TenantTable)
        except msgspec.ValidationError as error:
            what = wrong_setting(error, table, f"tenants.{tenant}")
            raise ContractError(f"{source}: {_clipped(what)}") from error
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise ContractError(f"{source}: {_clipped(wrong_setting(error, values))}") from error


def _clipped(what: object) -> str:
    """Return the text of something that quotes its input, cut to what a line can show."""
    text = str(what)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"


def _check_numbers(values: Mapping[str, Any], where: str = "") -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            _check_numbers(value, f"{where}{name}.")
        elif isinstance(value, (int, float)) and value > SAFE_INTEGER_MAX:
            # Beyond it no timer, no file and no map can be made.
            raise ContractError(f"{where}{name}: expected at most 2^53−1, got more")


def _check(settings: Settings) -> None:
    _check_numbers(msgspec.to_builtins(settings))
    listen_address(settings)
    if settings.log_level not in LOG_LEVELS:
        raise ContractError(
            f"log_level: expected one of {', '.join(LOG_LEVELS)}, got "
            f"{_clipped(repr(settings.log_level))}"
        )
    shard_specs(settings.shards)
    if bool(settings.metrics_user) != bool(settings.metrics_password):
        raise ContractError("metrics_user, metrics_password: expected both or neither, got one")
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise ContractError("tls_certificate, tls_key: expected both or neither, got one")
    if settings.tls_client_ca and not settings.tls_certificate:
        raise ContractError("tls_client_ca: expected a tls_certificate beside it, got none")
    if settings.tls_client_required and not settings.tls_client_ca:
        raise ContractError("tls_client_required: expected a tls_client_ca beside it, got none")
