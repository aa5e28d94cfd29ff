"""What ``init`` makes: settings, a data folder, a first key pair and a read token."""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fractal_lba.keyfile import write_private
from fractal_lba.protocol.errors import ContractError
from fractal_lba.protocol.signing import ed25519_public
from fractal_lba.server.config import SHARDS_DEFAULT, Settings, shard_set, to_toml
from fractal_lba.server.core.ring import ShardSpec, written
from fractal_lba.server.storage import data_folder
from fractal_lba.wal import Disk
from fractal_lba.wal.folder import make_folder

TENANT = "demo"
KID = "demo-1"

SETTINGS = "server.toml"
SERVER_KEYRING = "keyring.json"
AGENT_KEYRING = "agent-keyring.json"
TOKEN = "token"  # noqa: S105 - a file's name

_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """Where things were put."""

    settings: Path
    server_keyring: Path
    agent_keyring: Path
    token: Path
    data: Path


def provision(disk: Disk, folder: Path, shards: Sequence[ShardSpec] = ()) -> Provisioned:
    """Make a folder that a server can run from and an agent can sign for; durable on return.

    Without ``shards`` there are as many as there are by default.

    The server's keyring holds the public key and the token's hash; the secret seed is in the
    agent's keyring alone. The settings come last: a folder that has them is a whole one, and one
    that a crash left without them is to be removed.

    Raises:
        ContractError: Something of it is there already; nothing was written.
        DurabilityError: The disk failed; what was written before is left.
        OSError: As above.
    """
    shards = shards or shard_set(SHARDS_DEFAULT)
    settings = Settings(shards=tuple(written(shard) for shard in shards))
    made = Provisioned(
        settings=folder / SETTINGS,
        server_keyring=folder / SERVER_KEYRING,
        agent_keyring=folder / AGENT_KEYRING,
        token=folder / TOKEN,
        data=folder / settings.data,
    )
    taken = disk.names(folder) if disk.is_folder(folder) else []
    for path in (made.settings, made.server_keyring, made.agent_keyring, made.token, made.data):
        if path.name in taken:
            raise ContractError(
                f"{path}: expected nothing there, got something; init changes no folder"
            )
    make_folder(disk, folder)
    seed = secrets.token_bytes(32)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    key = {"kid": KID, "tenant": TENANT, "alg": "ed25519", "public": _base64(ed25519_public(seed))}
    hashed = hashlib.sha256(token.encode()).hexdigest()
    read = {"tenant": TENANT, "sha256": hashed, "scopes": ["read"]}
    write_private(made.token, f"{token}\n".encode(), files=disk)
    agents = _json({"keys": [key | {"secret": _base64(seed)}]})
    write_private(made.agent_keyring, agents, files=disk)
    write_private(made.server_keyring, _json({"keys": [key], "tokens": [read]}), files=disk)
    data_folder.create(disk, made.data, shards)
    write_private(made.settings, to_toml(settings).encode(), files=disk)
    return made


def _base64(data: bytes) -> str:
    return "base64:" + base64.b64encode(data).decode()


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value)) + b"\n"
