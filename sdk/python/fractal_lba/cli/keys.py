"""``keys generate`` and ``keys list``: keyring files, private from their first byte on.

The rule: a secret goes into files of mode 0600 and nowhere else, and no key is ever replaced. The
folder of a ring is locked while the ring is extended, so that of two keys made at the same time
neither is lost.
"""

import fcntl
import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import click

from fractal_lba.cli.records import keyring_option, open_keyring
from fractal_lba.cli.streams import Unusable, what, write_json
from fractal_lba.cli.usage import require_command
from fractal_lba.command.usage import epilog
from fractal_lba.keyfile import write_private
from fractal_lba.protocol import (
    RECORD_DEPTH_MAX,
    Alg,
    JsonValue,
    Key,
    KeyringError,
    ed25519_public,
    encode_base64,
    format_timestamp,
    parse_json,
    parse_keyring,
)

# An Ed25519 seed has this length, an HMAC secret at least this one.
_SECRET_BYTES: Final = 32

_Entry = dict[str, JsonValue]


@click.group(
    invoke_without_command=True,
    epilog=epilog(
        examples=[
            "fractal-lba keys generate --keyring agent-keyring.json --tenant acme --kid acme-1",
            "fractal-lba keys list --keyring agent-keyring.json",
        ],
        exit_codes={0: "done", 2: "a ring or an option cannot be used"},
    ),
)
@click.pass_context
def keys(context: click.Context) -> None:
    """Make and list the keys of a keyring file."""
    require_command(context)


@keys.command(
    "generate",
    short_help="Make a key and add it to a keyring file.",
    epilog=epilog(
        examples=[
            "fractal-lba keys generate --keyring agent-keyring.json --tenant acme --kid acme-1",
            "fractal-lba keys generate --keyring agent-keyring.json --tenant acme --kid acme-2 \\",
            "    --not-before 2027-01-01T00:00:00.000Z --server-keyring keyring.json",
        ],
        exit_codes={
            0: "the key is on disk",
            2: "a ring cannot be used, or holds that kid already",
        },
    ),
)
@keyring_option
@click.option("--tenant", required=True, help="Whose key it is: [A-Za-z0-9._-], at most 64.")
@click.option("--kid", required=True, help="What records call it: [A-Za-z0-9._-], at most 64.")
@click.option(
    "--alg", type=click.Choice([alg.value for alg in Alg]), default="ed25519", show_default=True
)
@click.option("--not-before", metavar="TIME", help="Valid from TIME on: YYYY-MM-DDTHH:MM:SS.mmmZ.")
@click.option("--not-after", metavar="TIME", help="Valid up to TIME.")
@click.option(
    "--server-keyring",
    "server_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Also add what a server needs to a second ring: the public half of an Ed25519 key; an "
    "HMAC key whole, since both sides share it.",
)
def generate(  # noqa: PLR0913  # one parameter for each option
    *,
    keyring_path: Path,
    tenant: str,
    kid: str,
    alg: str,
    not_before: str | None,
    not_after: str | None,
    server_path: Path | None,
) -> None:
    """Make a key and add it, secret included, to a keyring file.

    The file is made with mode 0600 when there is none; what it holds is kept. A kid that is there
    already is refused. Prints what is public of the key, never a secret.
    """
    entry, public = _new_entry(kid, tenant, Alg(alg))
    validity: _Entry = {"not_before": not_before, "not_after": not_after}
    additions = {_real(keyring_path): {**entry, **validity}}
    if server_path is not None:
        if _real(server_path) in additions:
            raise Unusable("--server-keyring: expected another file than --keyring, got the same")
        additions[_real(server_path)] = {**(public or entry), **validity}
    with _locked({path.parent for path in additions}):
        # Each ring is read before any is written.
        extended = {path: _extended(path, entry) for path, entry in additions.items()}
        for path, ring in extended.items():
            try:
                write_private(path, ring)
            except OSError as error:
                raise Unusable(f"{path}: cannot be written: {what(error)}") from error
    write_json(
        {
            "kid": kid,
            "tenant": tenant,
            "alg": alg,
            "public": None if public is None else public["public"],
            **validity,
        }
    )


@keys.command(
    "list",
    short_help="Print the keys of a keyring file, never a secret.",
    epilog=epilog(
        examples=[
            "fractal-lba keys list --keyring keyring.json",
            "(umask 077; fractal-lba keys list --keyring agent.json --public > keyring.json)",
        ],
        exit_codes={0: "printed", 2: "the ring cannot be used"},
    ),
)
@keyring_option
@click.option(
    "--public",
    "is_ring",
    is_flag=True,
    help="Print a keyring a server can use: the Ed25519 keys without their secrets. HMAC keys are "
    "left out (their secret is what a server needs) and named on standard error.",
)
def list_keys(*, keyring_path: Path, is_ring: bool) -> None:
    """Print the keys of a keyring file as one JSON object, never a secret."""
    ring = open_keyring(keyring_path)
    if not is_ring:
        write_json({"keys": [_listed(key) for key in ring.keys.values()]})
        return
    write_json({"keys": [_public_entry(key) for key in ring.keys.values() if key.public]})
    shared = [key.kid for key in ring.keys.values() if not key.public]
    if shared:
        click.echo(f"fractal-lba: left out, shared secrets: {', '.join(shared)}", file=sys.stderr)


def _new_entry(kid: str, tenant: str, alg: Alg) -> tuple[_Entry, _Entry | None]:
    """Return the entry of a new key, and its public half where it has one."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    named: _Entry = {"kid": kid, "tenant": tenant, "alg": alg.value}
    hidden: _Entry = {"secret": f"base64:{encode_base64(secret)}"}
    if alg is Alg.HMAC_SHA256:
        return {**named, **hidden}, None
    public: _Entry = {**named, "public": f"base64:{encode_base64(ed25519_public(secret))}"}
    return {**public, **hidden}, public


def _extended(path: Path, entry: _Entry) -> bytes:
    """Return the bytes of the ring with one more key."""
    try:
        parse_keyring(json.dumps({"keys": [entry]}).encode(), _resolve_nothing)
    except KeyringError as error:
        raise Unusable(f"new key: {error}") from error
    ring = _existing(path, str(entry["kid"]))
    entries = ring["keys"]
    assert isinstance(entries, list)  # noqa: S101  # a valid ring has them
    ring["keys"] = [*entries, entry]
    return json.dumps(ring, indent=2, ensure_ascii=False).encode() + b"\n"


def _existing(path: Path, kid: str) -> _Entry:
    """Return the ring as it is written, so that ``env:`` and ``file:`` stay what they are."""
    try:
        path.stat()
        if open_keyring(path).key(kid) is not None:
            raise Unusable(f"{path}: expected no key of that kid yet, got one")
        ring = parse_json(path.read_bytes(), depth_max=RECORD_DEPTH_MAX)
    except FileNotFoundError:
        return {"keys": []}
    except OSError as error:
        raise Unusable(f"{path}: cannot be read: {what(error)}") from error
    assert isinstance(ring, dict)  # noqa: S101  # a valid ring is an object
    return ring


def _resolve_nothing(reference: str) -> bytes:
    raise AssertionError(f"a new key refers to nothing: {reference.partition(':')[0]}")


def _real(path: Path) -> Path:
    # A ring behind a link is extended where it is; the link stays.
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise Unusable(f"{path}: cannot be resolved") from error


@contextmanager
def _locked(folders: set[Path]) -> Iterator[None]:
    with ExitStack() as stack:
        for folder in sorted(folders):  # in one order, so that two commands cannot wait in a ring
            try:
                handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, handle)
                fcntl.flock(handle, fcntl.LOCK_EX)
            except OSError as error:
                raise Unusable(f"{folder}: cannot be locked: {what(error)}") from error
        yield


def _public_entry(key: Key) -> _Entry:
    assert key.public is not None  # noqa: S101  # the caller chose those that have one
    entry: _Entry = {
        "kid": key.kid,
        "tenant": key.tenant,
        "alg": key.alg.value,
        "public": f"base64:{encode_base64(key.public)}",
        "not_before": _time(key.not_before_ms),
        "not_after": _time(key.not_after_ms),
    }
    return {**entry, "legacy": True} if key.legacy else entry


def _listed(key: Key) -> _Entry:
    return {
        "kid": key.kid,
        "tenant": key.tenant,
        "alg": key.alg.value,
        "public": None if key.public is None else f"base64:{encode_base64(key.public)}",
        "not_before": _time(key.not_before_ms),
        "not_after": _time(key.not_after_ms),
        "legacy": key.legacy,
        "can_sign": key.secret is not None,
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else format_timestamp(ms)
