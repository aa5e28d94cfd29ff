"""Text from outside: a keyring and settings that an operator wrote, a cursor that came back."""

import base64
import json
from pathlib import Path, PosixPath
from typing import Any, Final

from tests.support.records import ED25519_KEY
from typing_extensions import override

from fractal_lba.protocol import ContractError, Key, Keyring, KeyringError, parse_keyring
from fractal_lba.protocol.keyring import Identity
from fractal_lba.protocol.timestamps import format_timestamp
from fractal_lba.server.config import load_settings, policies, to_toml
from fractal_lba.server.core.cursor import Cursors
from fractal_lba.server.core.listing import Query, Spot

_MESSAGE_CHARACTERS_MAX: Final = 600
_SECRET: Final = b"s" * 32
_PUBLIC: Final = base64.b64encode(ED25519_KEY.public or b"").decode()
_SEED: Final = base64.b64encode(ED25519_KEY.secret or b"").decode()


def _ring(**more: object) -> bytes:
    return json.dumps(
        {
            "keys": [
                {"kid": "a", "tenant": "acme", "alg": "hmac-sha256", "secret": "env:S"},
                {
                    "kid": "b",
                    "tenant": "acme",
                    "alg": "ed25519",
                    "public": f"base64:{_PUBLIC}",
                    "not_before": "2026-11-01T00:00:00.000Z",
                    "not_after": None,
                },
                {"kid": "c", "tenant": "lab", "alg": "ed25519", "secret": f"base64:{_SEED}"},
                {
                    "kid": "d",
                    "tenant": "lab",
                    "alg": "hmac-sha256",
                    "secret": "file:short",
                    "legacy": True,
                },
            ],
            "tokens": [{"tenant": "acme", "sha256": "0a" * 32, "scopes": ["submit", "read"]}],
            "certificates": [{"tenant": "lab", "sha256": "0a" * 32, "scopes": ["operate"]}],
            **more,
        }
    ).encode()


KEYRINGS: Final = (_ring(), b'{"keys":[]}', b'{"keys":[],"tokens":[]}')
KEYRING_PIECES: Final = (
    b'"kid"', b'"tenant"', b'"alg"', b'"public"', b'"secret"', b'"legacy"', b'"not_before"',
    b'"not_after"', b'"keys"', b'"tokens"', b'"certificates"', b'"sha256"', b'"scopes"',
    b'"operate"', b'"a"', b"null",
    b'"hmac-sha256"', b'"ed25519"', b'"env:S"', b'"env:"', b'"file:none"', b'"file:b64"', b"true",
    b'"base64:"', b'"base64:AA=="', b'"base64:AB=="', b'"base64:%b"' % (b"A" * 43 + b"="), b"[]",
    b'"base64:%b"' % base64.b64encode(b"\x01" + bytes(31)), b'"base64:\xc3\xa9"', b"{}", b"1",
    b'"1970-01-01T00:00:00.000Z"', b'"9999-12-31T23:59:59.999Z"', b'"2026-02-30T00:00:00.000Z"',
    b'"2026-11-01T00:00:60.000Z"', rb'"\ud800"', b"\xff", b"\xef\xbb\xbf", b"[" * 9, b",", b"}",
)  # fmt: skip

SETTINGS: Final = (
    b'listen = "127.0.0.1:0"\nlog_level = "debug"\nshards = ["shard-0"]\ngrace_s = 2.5\n',
    b'metrics_user = "m"\nmetrics_password = "env:P"\nconnections_max = 10\n',
    b"horizon_days = 30\n[tenants.acme]\nrate_per_s = 2.5\naccepts_legacy = false\n",
    b"\x00FLBA_LISTEN=[::1]:80\x00FLBA_BODY_TIMEOUT_S=1e3\x00FLBA_SHARDS=shard-0",
    b'\x00FLBA_TENANTS={"acme":{"horizon_days":3}}\x00FLBA_CONNECTIONS_MAX=7\x00PATH=x',
    'region = "é\U0001f600"\ntenants = {"a.b" = {burst = 1}}\n'.encode(),
)
SETTINGS_PIECES: Final = (
    b"\n", b"=", b"[", b"]", b"[[", b"[" * 3_000, b"{a=" * 1_200, b".", b'"""', b"'''", b"#", b"\r",
    b"inf", b"-inf", b"nan", b"1e400", b"1e308", b"0", b"-1", b"9" * 30, b"9" * 4_400, b"0x1f",
    b"9223372036854775808", b"1979-05-27T07:32:00Z", b"07:32:00", b"2026-02-30", b"true", b'""',
    rb'"\ud800"', rb'"\U0001f600"', rb'"\u0000"', b'"\x7f"', rb'"\u007f"', rb'"\n"', rb'"\""', b"a",
    b"\xff", b"\x00", b"\xef\xbb\xbf", b"tenants", b"shards", b"listen", b"[tenants.x]", b"region",
    b"index_map_bytes", b"idle_timeout_s", b"keyring_poll_s", b"FLBA_GRACE_S=", b"FLBA_TENANTS=",
    b"\x00FLBA_", b'{"a":{"burst":1e999}}', b'"127.0.0.1:65536"', b'":80"', b'"[::1"', b"\xc2\xb2",
    b'["shard-0","shard-1"]', b'["../x"]',
)  # fmt: skip


def keyring(data: bytes) -> str:
    """Read the bytes as a keyring."""
    try:
        ring = parse_keyring(data, _resolve)
    except KeyringError as error:
        message = str(error)
        assert len(message) <= _MESSAGE_CHARACTERS_MAX
        assert _SECRET.decode() not in message
        assert _SEED not in message
        return message
    assert parse_keyring(_written(ring), _resolve) == ring
    said = json.loads(data)
    assert len(ring.keys) == len(said["keys"])
    for name, known in (("tokens", ring.tokens), ("certificates", ring.certificates)):
        assert len(known) == len(said.get(name, []))
        assert all(digest == identity.sha256 for digest, identity in known.items())
    return f"accepted {min(len(ring.keys), 4)} {min(len(ring.tokens), 2)}"


def _resolve(reference: str) -> bytes:
    match reference:
        case "env:S":
            return _SECRET
        case "file:short":
            return b"short"
        case "file:b64":
            return b"base64:" + base64.b64encode(_SECRET) + b"\r\n"
        case _:
            raise KeyringError("expected a secret to be there, got none")


def _written(ring: Keyring) -> bytes:
    return json.dumps(
        {
            "keys": [_entry(key) for key in ring.keys.values()],
            "tokens": [_identity(token) for token in ring.tokens.values()],
            "certificates": [_identity(each) for each in ring.certificates.values()],
        }
    ).encode()


def _identity(identity: Identity) -> dict[str, Any]:
    return {
        "tenant": identity.tenant,
        "sha256": identity.sha256.hex(),
        "scopes": sorted(identity.scopes),
    }


def _entry(key: Key) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "kid": key.kid,
        "tenant": key.tenant,
        "alg": str(key.alg),
        "legacy": key.legacy,
    }
    for name, value in (("public", key.public), ("secret", key.secret)):
        if value is not None:
            entry[name] = "base64:" + base64.b64encode(value).decode()
    for name, ms in (("not_before", key.not_before_ms), ("not_after", key.not_after_ms)):
        entry[name] = None if ms is None else format_timestamp(ms)
    return entry


class _HeldFile(PosixPath):
    """A file whose text is in memory."""

    data: bytes

    @override
    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        text = self.data.decode(encoding or "utf-8", errors or "strict")
        return text.replace("\r\n", "\n").replace("\r", "\n")


def _held(data: bytes) -> Path:
    file = _HeldFile("server.toml")
    file.data = data
    return file


def settings(data: bytes) -> str:
    """Read the bytes as ``server.toml``, and behind each NUL a variable of the environment."""
    text, *variables = data.split(b"\x00")
    environment = {}
    for variable in variables:
        name, _, value = variable.decode("utf-8", "surrogateescape").partition("=")
        environment[name] = value
    try:
        found = load_settings(_held(text), environment, {})
    except ContractError as error:
        message = str(error)
        # An operator's own file may be quoted, within reason.
        assert len(message) <= _MESSAGE_CHARACTERS_MAX
        return message.split("got", maxsplit=1)[0][:80]
    # What is shown is what was read.
    assert load_settings(_held(to_toml(found).encode()), {}, {}) == found
    policies(found)
    return "accepted"


_CURSORS: Final = Cursors("data", ["north", "south"])
_QUERY: Final = Query(shard_id="press-7", from_epoch=3)
_GIVEN: Final = {
    _CURSORS.write(spots, tenant="acme", query=_QUERY): spots
    for spots in (
        {"north": Spot(0, 1), "south": Spot(0, 0)},
        {"north": Spot(7, 9), "south": Spot(2**53 - 1, 2**63)},
    )
}
GIVEN_CURSORS: Final = tuple(text.encode() for text in _GIVEN)
OTHER_CURSORS: Final = (
    _CURSORS.write({"north": Spot(0, 1)}, tenant="lab", query=_QUERY).encode(),
    _CURSORS.write({"north": Spot(0, 1)}, tenant="acme", query=Query()).encode(),
    Cursors("other", ["north", "south"])
    .write({"north": Spot(0, 1)}, tenant="acme", query=_QUERY)
    .encode(),
)
CURSOR_PIECES: Final = (b"=", b"==", b"-", b"_", b"+", b"/", b"A" * 44, b" ", b"\xc3\xa9", b"\x00")


def cursor(data: bytes) -> str:
    """Read the bytes as a cursor."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        spots = _CURSORS.read(text, tenant="acme", query=_QUERY)
    except ContractError as error:
        return str(error)
    assert _GIVEN[text] == spots
    return "accepted"
