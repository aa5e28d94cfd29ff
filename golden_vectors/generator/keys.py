"""Keyrings: taken over whole, or refused by entry and member."""

import base64
import hashlib
import json
from typing import Any, Final

from golden_vectors.generator.bodies import ABSENT
from golden_vectors.generator.files import Note, VectorFile
from golden_vectors.generator.odd_signatures import little, small_order
from golden_vectors.generator.published_keys import RFC4231, RFC8032
from tests.oracle.ed25519 import P

KEYRING_NOTES: Final = {
    "Rfc8032": Note(
        explanation="A ring with the seed and the public key of the RFC's TEST 1.",
        source="RFC 8032, section 7.1",
    ),
    "Sound": Note(explanation="Rings that are taken over."),
    "Json": Note(explanation="A file that is no strict JSON, or no object."),
    "Member": Note(explanation="A member that is missing, unknown, of another type or spelling."),
    "Twice": Note(explanation="A kid or a token that stands twice."),
    "LegacyCount": Note(
        explanation="A tenant has at most eight keys for version 0.1, since each is tried."
    ),
    "SecretLength": Note(explanation="HMAC secrets of 31 bytes, and seeds that are not 32."),
    "WeakKey": Note(
        explanation="Public keys of small order (14 encodings) or with y >= p: refused at "
        "registration, since one signature would hold for many messages, or none ever."
    ),
    "Pair": Note(explanation="A seed beside a public key that is not its own."),
    "Time": Note(explanation="Times of validity that are no timestamps, or the wrong way round."),
}
SEED: Final = bytes.fromhex(RFC8032["TEST 1"][0])
PUBLIC: Final = bytes.fromhex(RFC8032["TEST 1"][1])
SECRET: Final = RFC4231[5][0]
OTHER: Final = hashlib.sha256(b"golden vectors, HMAC").digest()
NO_POINT: Final = little(2)
RECEIVED: Final = "2026-11-21T06:00:01.000Z"

Entry = dict[str, Any]


def base64_of(data: bytes) -> str:
    """Return bytes as a ring gives them."""
    return "base64:" + base64.b64encode(data).decode()


def hmac_entry(**changes: object) -> Entry:
    """Return a sound HMAC key."""
    entry = {"kid": "acme-2026-11", "tenant": "acme", "alg": "hmac-sha256"}
    return without_absent({**entry, "secret": base64_of(SECRET), **changes})


def ed25519_entry(**changes: object) -> Entry:
    """Return a sound Ed25519 key."""
    entry = {"kid": "lab-1", "tenant": "lab", "alg": "ed25519"}
    return without_absent({**entry, "public": base64_of(PUBLIC), **changes})


def token(**changes: object) -> Entry:
    """Return a sound token."""
    digest = hashlib.sha256(b"token").hexdigest()
    entry = {"tenant": "acme", "sha256": digest, "scopes": ["submit", "read"]}
    return without_absent({**entry, **changes})


def without_absent(entry: Entry) -> Entry:
    """Return an entry without what is to be left out."""
    return {name: value for name, value in entry.items() if value is not ABSENT}


def ring(*keys: object, **others: object) -> str:
    """Return a ring as an input has it."""
    document = json.dumps({"keys": list(keys), **others}, ensure_ascii=False).encode()
    return base64.b64encode(document).decode()


def keyrings_file() -> VectorFile:
    """Return the cases of ``keyrings.json``."""
    made = VectorFile(
        name="keyrings",
        algorithm="Keyrings: taken over whole, or refused naming the entry and the member",
        specification="specs/pcs.md, section 3",
        notes=KEYRING_NOTES,
    )

    def refuse(comment: str, flag: str, keyring: str, entry: str, member: str | None) -> None:
        stated = {"code": "keyring_refused", "entry": entry, "member": member}
        made.invalid(comment, flag, {"keyring": keyring}, **stated)

    rfc = ed25519_entry(secret=base64_of(SEED))
    made.valid("seed and public key", "Rfc8032", {"keyring": ring(rfc)})
    seed_alone = ed25519_entry(secret=base64_of(SEED), public=ABSENT)
    made.valid("the public key from the seed", "Rfc8032", {"keyring": ring(seed_alone)})
    for comment, keyring in (
        ("no key", ring()),
        ("a key of each kind", ring(hmac_entry(), ed25519_entry())),
        ("tokens", ring(tokens=[token(), token(sha256="0" * 64, scopes=["operate"])])),
        ("certificates", ring(certificates=[token(), token(sha256="0" * 64, scopes=[])])),
        ("one hash as token and certificate", ring(tokens=[token()], certificates=[token()])),
        ("a secret of 32 bytes", ring(hmac_entry(secret=base64_of(bytes(32))))),
        ("a legacy secret of one byte", ring(hmac_entry(secret=base64_of(b"\0"), legacy=True))),
        ("valid for a millisecond", ring(hmac_entry(not_before=RECEIVED, not_after=RECEIVED))),
        ("times of null", ring(hmac_entry(not_before=None, not_after=None))),
    ):
        made.valid(comment, "Sound", {"keyring": keyring})
    for comment, document in (
        ("nothing", b""),
        ("an array", b"[]"),
        ("a duplicate", b'{"keys":[],"keys":[]}'),
        ("a byte order mark", b'\xef\xbb\xbf{"keys":[]}'),
    ):
        refuse(comment, "Json", base64.b64encode(document).decode(), "keyring", None)
    refuse("no keys", "Member", base64.b64encode(b"{}").decode(), "keyring", "keys")
    refuse("another member", "Member", ring(version=1), "keyring", None)
    refuse("a key that is no object", "Member", ring(hmac_entry(), 1), "keys[1]", None)
    for member, value in (
        ("kid", "a b"),
        ("kid", ABSENT),
        ("tenant", ""),
        ("tenant", 1),
        ("alg", "HMAC-SHA256"),
        ("alg", "none"),
        ("secret", ABSENT),
        ("secret", "AAAA"),
        ("secret", "base64:AA"),
        ("public", base64_of(PUBLIC)),
        ("legacy", 1),
    ):
        named = "nothing" if value is ABSENT else repr(value)[:20]
        keyring = ring(hmac_entry(**{member: value}))
        refuse(f"{member} is {named}", "Member", keyring, "keys[0]", member)
    refuse("another member of a key", "Member", ring(hmac_entry(note=1)), "keys[0]", None)
    refuse("no public key", "Member", ring(ed25519_entry(public=ABSENT)), "keys[0]", "public")
    short_public = ed25519_entry(public=base64_of(PUBLIC[:31]))
    refuse("a public key of 31 bytes", "Member", ring(short_public), "keys[0]", "public")
    for member, value in (
        ("sha256", "A" * 64),
        ("scopes", ["admin"]),
        ("scopes", ["read", "read"]),
    ):
        keyring = ring(tokens=[token(**{member: value})])
        refuse(f"token {member} {str(value)[:20]}", "Member", keyring, "tokens[0]", member)
    refuse("a kid", "Twice", ring(hmac_entry(), hmac_entry()), "keys[1]", "kid")
    refuse(
        "a kid in two tenants",
        "Twice",
        ring(hmac_entry(), hmac_entry(tenant="lab")),
        "keys[1]",
        "kid",
    )
    twice = ring(certificates=[token(), token(scopes=[])])
    refuse("a certificate", "Twice", twice, "certificates[1]", "sha256")
    old = [hmac_entry(kid=f"old-{place}", legacy=True) for place in range(9)]
    others = [hmac_entry(kid=f"lab-{place}", tenant="lab", legacy=True) for place in range(8)]
    eight = ring(*old[:8], hmac_entry(kid="new"), *others)
    made.valid("eight of each of two tenants", "LegacyCount", {"keyring": eight})
    refuse("nine", "LegacyCount", ring(*old), "keys[8]", "legacy")
    refuse(
        "nine, another between",
        "LegacyCount",
        ring(*old[:8], others[0], old[8]),
        "keys[9]",
        "legacy",
    )
    again = ring(*old[:8], old[0])
    refuse("the ninth a kid that is there", "LegacyCount", again, "keys[8]", "kid")
    unknown = ring(certificates=[token(scopes=["all"])])
    refuse("a certificate's scope", "Member", unknown, "certificates[0]", "scopes")
    refuse("a token", "Twice", ring(tokens=[token(), token(tenant="lab")]), "tokens[1]", "sha256")
    for comment, entry in (
        ("a secret of 31 bytes", hmac_entry(secret=base64_of(bytes(31)))),
        ("an empty legacy secret", hmac_entry(secret=base64_of(b""), legacy=True)),
        ("a seed of 31 bytes", ed25519_entry(secret=base64_of(SEED[:31]))),
        ("a seed of 64 bytes", ed25519_entry(secret=base64_of(SEED + PUBLIC))),
    ):
        refuse(comment, "SecretLength", ring(entry), "keys[0]", "secret")
    for place, encoding in enumerate(small_order()):
        weak = ed25519_entry(public=base64_of(encoding))
        refuse(f"small order, encoding {place}", "WeakKey", ring(weak), "keys[0]", "public")
    beyond = ed25519_entry(public=base64_of(little(P + 3)))
    refuse("y = p + 3", "WeakKey", ring(beyond), "keys[0]", "public")
    pair = ed25519_entry(secret=base64_of(OTHER))
    refuse("another seed", "Pair", ring(pair), "keys[0]", "public")
    refuse(
        "no timestamp", "Time", ring(hmac_entry(not_before="2026-11-21")), "keys[0]", "not_before"
    )
    turned = hmac_entry(not_before="2026-11-21T06:00:00.001Z", not_after="2026-11-21T06:00:00.000Z")
    refuse("not_after before not_before", "Time", ring(turned), "keys[0]", "not_after")
    no_point = ring(ed25519_entry(public=base64_of(NO_POINT)))
    made.valid("a public key that names no point", "Sound", {"keyring": no_point})
    return made
