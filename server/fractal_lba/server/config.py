"""The server's settings: read once into frozen values, every wrong one refused with its name.

A setting comes from, the later winning: the default here, ``server.toml``, the environment
(``FLBA_`` and the name in upper case), a flag of the command line (``--name-with-dashes``).
"""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.core.names import is_shard_name

ENVIRONMENT_PREFIX = "FLBA_"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set. Paths are relative to the folder of ``server.toml``."""

    listen: Annotated[str, msgspec.Meta(description="HOST:PORT; port 0 takes a free one.")] = (
        "127.0.0.1:8080"
    )
    data: Annotated[
        str, msgspec.Meta(description="The data folder, from server.toml's folder on.")
    ] = "data"
    keyring: Annotated[
        str,
        msgspec.Meta(
            description="The keyring, mode 0600, from server.toml's folder on; reloaded on change."
        ),
    ] = "keyring.json"
    keyring_poll_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="How often the keyring file is looked at for a change."),
    ] = 2.0
    region: Annotated[
        str, msgspec.Meta(description="Where decisions are made; kept with each of them.")
    ] = "local"
    shards: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="The shard set; must agree with the one the data folder was made with."
        ),
    ] = ("shard-0",)
    horizon_days: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="A new record with an older created_at is refused with 410.",
        ),
    ] = 400
    log_level: Annotated[str, msgspec.Meta(description="debug, info, warning or error.")] = "info"
    connections_max: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Open connections; each needs a file (see ulimit -n).",
        ),
    ] = 4_096
    connections_per_address_max: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="Open connections from one address: one host cannot take them all."
        ),
    ] = 1_024
    address_rate_per_s: Annotated[
        float,
        msgspec.Meta(
            ge=0, description="Requests a second from one address before 429; 0 is no limit."
        ),
    ] = 5_000.0
    address_burst: Annotated[
        int,
        msgspec.Meta(ge=1, description="Requests an address may send at once after a quiet time."),
    ] = 10_000
    addresses_max: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Addresses whose rate is remembered, about 200 bytes each.",
        ),
    ] = 65_536
    body_timeout_s: Annotated[
        float,
        msgspec.Meta(
            gt=0, description="A body must be complete within this time, or the answer is 408."
        ),
    ] = 10.0
    idle_timeout_s: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="A connection that sends no whole request head for so long is closed.",
        ),
    ] = 75.0
    requests_in_flight_max: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Bodies on their way to an answer; 64 KiB each at the most.",
        ),
    ] = 1_024
    requests_in_flight_per_address_max: Annotated[
        int,
        msgspec.Meta(ge=1, description="The same from one address, so that none takes them all."),
    ] = 256
    left_open_max: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Bodies a failure may leave undecided before nothing more is logged.",
        ),
    ] = 10_000
    batch_records_max: Annotated[
        int,
        msgspec.Meta(ge=1, description="Records in one commit: one fsync is shared by so many."),
    ] = 256
    batch_bytes_max: Annotated[int, msgspec.Meta(ge=1, description="Bytes in one commit.")] = (
        4_194_304
    )
    segment_bytes_max: Annotated[
        int, msgspec.Meta(ge=1, description="A segment of a log is closed at this size.")
    ] = 67_108_864
    index_map_bytes: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="Address space reserved for an index; doubled when it is full."
        ),
    ] = 1_073_741_824
    index_flush_records: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Decisions held before the index is committed; replayed after a crash.",
        ),
    ] = 4_096
    mend_interval_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="How often a fenced log is tried again on fresh files."),
    ] = 1.0
    grace_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="On SIGTERM, how long accepted requests may take to end."),
    ] = 20.0
    metrics_user: Annotated[
        str, msgspec.Meta(description="User name for GET /metrics; empty asks for none.")
    ] = ""
    metrics_password: Annotated[
        str, msgspec.Meta(description="env:NAME or file:PATH of the password for GET /metrics.")
    ] = ""


_FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}
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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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
        value = getattr(settings, name)
        text = json.dumps(list(value) if isinstance(value, tuple) else value)
        lines += [f"# {meaning}", f"{name} = {text}", ""]
    return "\n".join(lines)


def _description(annotated: Any) -> str:  # noqa: ANN401 - typing has no type for Annotated
    return str(annotated.__metadata__[0].description)


_RESERVED = frozenset({f"{ENVIRONMENT_PREFIX}REQUIRE"})
"""Read by the test suite, not by the server."""


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


def listen_address(settings: Settings) -> tuple[str, int]:
    """Return the host and the port to bind.

    Raises:
        ContractError: It is not HOST:PORT.
    """
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - the largest port
        raise ContractError(
            f"listen: expected HOST:PORT with a port of 0 to 65535, got {settings.listen!r}"
        )
    return host.strip("[]"), int(port)


def _from_text(name: str, text: str, source: str) -> Any:  # noqa: ANN401 - checked by the conversion that follows
    if name not in _FIELDS:
        raise ContractError(f"{source}: expected a known setting, got {name!r}")
    if name == "shards":
        return [part.strip() for part in text.split(",")]
    if isinstance(_FIELDS[name].default, str):
        return text
    try:
        return msgspec.convert(text, _FIELDS[name].type, strict=False)
    except msgspec.ValidationError as error:
        raise ContractError(f"{source}: {name}: {error}") from error


def _convert(values: Mapping[str, Any], source: str) -> Settings:
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise ContractError(f"{source}: {error}") from error


def _check(settings: Settings) -> None:
    listen_address(settings)
    if settings.log_level not in LOG_LEVELS:
        raise ContractError(
            f"log_level: expected one of {', '.join(LOG_LEVELS)}, got {settings.log_level!r}"
        )
    if len(settings.shards) != 1:
        raise ContractError(f"shards: expected one shard, got {len(settings.shards)}")
    for name in settings.shards:
        if not is_shard_name(name):
            raise ContractError(f"shards: expected names of [a-z0-9-], got {name!r}")
    if bool(settings.metrics_user) != bool(settings.metrics_password):
        raise ContractError("metrics_user, metrics_password: expected both or neither, got one")
