"""A keyring's file again, of what verifies records of version 1.0 alone: for what reads it anew."""

from fractal_lba.protocol.canonical import canonical
from fractal_lba.protocol.keyring import Alg, Key, Keyring
from fractal_lba.protocol.strict_base64 import encode_base64


def verifying_keys(keyring: Keyring) -> list[Key]:
    """Return the keys that records of version 1.0 may be signed by."""
    return [key for key in keyring.keys.values() if not key.is_short]


def verifying_ring(keys: list[Key]) -> bytes:
    """Return a keyring's file (``specs/pcs.md`` section 3) that holds these keys.

    It holds no secret of Ed25519, and not when a key is valid: that is asked of what verified.
    """
    return canonical(
        {
            "keys": [
                {"kid": key.kid, "tenant": key.tenant, "alg": str(key.alg), **_material(key)}
                for key in keys
            ]
        }
    )


def _material(key: Key) -> dict[str, str]:
    name, held = ("public", key.public) if key.alg is Alg.ED25519 else ("secret", key.secret)
    return {} if held is None else {name: f"base64:{encode_base64(held)}"}
