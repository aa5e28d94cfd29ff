"""Records, a keyring and the time of receipt: whose record it is, or why it is refused."""

import base64
import hashlib
from collections.abc import Iterable
from typing import Final

from golden_vectors.generator.bodies import ABSENT, bent, body, full, sound, text
from golden_vectors.generator.files import Note, Refusal, VectorFile
from golden_vectors.generator.keys import (
    NO_POINT,
    OTHER,
    PUBLIC,
    RECEIVED,
    SECRET,
    SEED,
    Entry,
    base64_of,
    ed25519_entry,
    hmac_entry,
    ring,
)
from golden_vectors.generator.legacy_bodies import old, signed
from golden_vectors.generator.odd_signatures import little
from golden_vectors.generator.signing import MISMATCH
from tests.oracle.ed25519 import L

from fractal_lba.protocol import (
    Alg,
    Key,
    canonical,
    ed25519_public,
    sign_ed25519,
    sign_hmac,
    sign_record,
    signing_input,
)

RECORD_NOTES: Final = {
    "Rfc8032": Note(
        explanation="A record signed with the seed of the RFC's TEST 1.",
        source="RFC 8032, section 7.1 (the key)",
    ),
    "Rfc4231": Note(
        explanation="A record signed with the key of the RFC's test case 6, of 131 bytes.",
        source="RFC 4231, section 4.7 (the key)",
    ),
    "Sound": Note(explanation="Records that a key of the ring verifies."),
    "Key": Note(explanation="No key of that kid, or one for version 0.1 only."),
    "Missing": Note(explanation="sig is absent or empty."),
    "Length": Note(explanation="sig is not of the length of the key's algorithm."),
    "Mismatch": Note(explanation="sig does not verify."),
    "Unsigned": Note(explanation="What the signature does not cover: delivery and spelling."),
    "Validity": Note(
        explanation="not_before and not_after, both included, at the time of receipt."
    ),
    "Order": Note(explanation="Two faults at once: the earlier step is named."),
    "Version": Note(
        explanation="A body of version 0.1, which who is asked for the record of a key of 1.0 "
        "takes for switched off, and other versions."
    ),
}


def key_of(kid: str, alg: Alg, secret: bytes) -> Key:
    """Return a key that signs."""
    public = ed25519_public(secret) if alg is Alg.ED25519 else None
    return Key(
        kid=kid,
        tenant="acme",
        alg=alg,
        public=public,
        secret=secret,
        not_before_ms=None,
        not_after_ms=None,
        legacy=False,
    )


HMAC_KEY: Final = key_of("acme-2026-11", Alg.HMAC_SHA256, SECRET)
ED25519_KEY: Final = key_of("lab-1", Alg.ED25519, SEED)
PLAIN: Final = {name: value for name, value in full().items() if name != "sig"}
BY_HMAC: Final[Entry] = dict(sign_record(PLAIN, HMAC_KEY).members)
BY_ED25519: Final[Entry] = dict(sign_record({**PLAIN, "kid": "lab-1"}, ED25519_KEY).members)
BOTH: Final = ring(hmac_entry(), ed25519_entry())
LEGACY: Final = ring(hmac_entry(secret=base64_of(bytes(31)), legacy=True))
EARLY: Final = ring(hmac_entry(not_after="2020-01-01T00:00:00.000Z"))

UNKNOWN: Final[Refusal] = ("unknown_key", "unknown_key", "kid")
SHORT: Final[Refusal] = ("unknown_key", "short_key", "kid")
MISSING: Final[Refusal] = ("signature_missing", "signature_missing", "sig")
LENGTH: Final[Refusal] = ("signature_invalid", "signature_length", "sig")


def signing_records_file() -> VectorFile:
    """Return the cases of ``signing_records.json``."""
    made = VectorFile(
        name="signing_records",
        algorithm="A record, a keyring and the time of receipt: whose record it is",
        specification="specs/pcs.md, sections 1.2, 2 and 3",
        notes=RECORD_NOTES,
    )
    by_ed25519 = given(canonical(BY_ED25519), BOTH)
    made.valid("by Ed25519", "Rfc8032", by_ed25519, tenant="lab", kid="lab-1")
    made.valid("by HMAC", "Rfc4231", given(canonical(BY_HMAC), BOTH), tenant="acme")
    bare = dict(sign_record(sound(), HMAC_KEY).members)
    made.valid("without optional members", "Sound", given(text(bare), BOTH))
    held = ring(ed25519_entry(secret=base64_of(SEED)))
    made.valid("by a ring that can sign", "Sound", given(text(BY_ED25519), held))
    moved = given(text(BY_HMAC), ring(hmac_entry(tenant="globex")))
    made.valid("the tenant is the key's", "Sound", moved, tenant="globex")
    for comment, document in (
        ("another delivery", text(bent(BY_HMAC, {"delivery.attempt": 99}))),
        ("no delivery", text(bent(BY_HMAC, {"delivery": ABSENT}))),
        ("members in reverse", text(dict(reversed(BY_HMAC.items())))),
        ("white space", text(BY_HMAC).replace(b",", b",\n")),
        ("numbers spelled otherwise", text(BY_HMAC).replace(b":1000,", b":1E3,")),
    ):
        made.valid(comment, "Unsigned", given(document, BOTH))
    add_keys(made)
    add_mismatches(made)
    add_validity(made, BY_HMAC)
    add_order(made)
    add_versions(made)
    add_crafted(made)
    return made


def given(document: bytes, keyring: str) -> dict[str, object]:
    """Return a case's input."""
    return {"keyring": keyring, **body(document), "received_at": RECEIVED}


def refuse(
    made: VectorFile, flag: str, refusal: Refusal, cases: Iterable[tuple[str, Entry, str]]
) -> None:
    """Add records that must be refused alike: each a comment, the members and the ring."""
    for comment, members, keyring in cases:
        made.refused(comment, flag, given(text(members), keyring), refusal)


def add_keys(made: VectorFile) -> None:
    """Add records without a key, without a signature, and with one of another length."""
    short = dict(sign_record(PLAIN, key_of("acme-2026-11", Alg.HMAC_SHA256, bytes(32))).members)
    unknown = (
        ("no key of that kid", {**BY_HMAC, "kid": "acme-2026-12"}, BOTH),
        ("an empty ring", BY_HMAC, ring()),
        ("kid in upper case", {**BY_HMAC, "kid": "ACME-2026-11"}, BOTH),
    )
    refuse(made, "Key", UNKNOWN, unknown)
    refuse(made, "Key", SHORT, [("a key for version 0.1 only", short, LEGACY)])
    for kid in ("acme-2026-11", "lab-1"):
        missing = (
            (f"no sig, {kid}", {**PLAIN, "kid": kid}, BOTH),
            (f"an empty sig, {kid}", {**PLAIN, "kid": kid, "sig": ""}, BOTH),
        )
        refuse(made, "Missing", MISSING, missing)
    other_length = (
        ("64 bytes for HMAC", {**BY_HMAC, "sig": BY_ED25519["sig"]}, BOTH),
        ("32 bytes for Ed25519", {**BY_ED25519, "sig": BY_HMAC["sig"]}, BOTH),
    )
    refuse(made, "Length", LENGTH, other_length)


def add_mismatches(made: VectorFile) -> None:
    """Add records whose signature does not verify."""
    changes = {"D_hat": 1.660964048, "seed": 43, "created_at": RECEIVED, "r": 0.5}
    for name, value in changes.items():
        bent_records = (
            (f"another {name}", {**BY_HMAC, name: value}, BOTH),
            (f"another {name}, Ed25519", {**BY_ED25519, name: value}, BOTH),
        )
        refuse(made, "Mismatch", MISMATCH, bent_records)
    covered = signing_input(BY_HMAC)
    for comment, message in (
        ("over the canonical bytes without the label", covered.partition(b"\n")[2]),
        ("over the hash of the signing input", hashlib.sha256(covered).digest()),
        ("over the label in upper case", covered.replace(b"pcs/1", b"PCS/1", 1)),
        ("over the body as sent", canonical(PLAIN)),
    ):
        members = {**BY_HMAC, "sig": sig(sign_hmac(SECRET, message))}
        refuse(made, "Mismatch", MISMATCH, [(comment, members, BOTH)])
    raw = base64.b64decode(BY_ED25519["sig"])
    raised = raw[:32] + little(int.from_bytes(raw[32:], "little") + L)
    by_other = sign_ed25519(OTHER, signing_input(BY_ED25519))
    others = (
        ("meta taken away", bent(BY_HMAC, {"meta": ABSENT}), BOTH),
        ("another secret", BY_HMAC, ring(hmac_entry(secret=base64_of(OTHER)))),
        ("by another seed", {**BY_ED25519, "sig": sig(by_other)}, BOTH),
        ("S + L", {**BY_ED25519, "sig": sig(raised)}, BOTH),
    )
    refuse(made, "Mismatch", MISMATCH, others)


def add_order(made: VectorFile) -> None:
    """Add records with two faults, the later one being of a later step."""
    for comment, members, keyring, refusal in (
        ("another id and a wrong sig", {**BY_HMAC, "epoch": 2}, BOTH, ANOTHER_ID),
        ("a wrong member and an unknown key", {**BY_HMAC, "r": 2, "kid": "x"}, BOTH, PAST_R),
        ("another id and an unknown key", {**BY_HMAC, "epoch": 2, "kid": "x"}, BOTH, ANOTHER_ID),
        ("an unknown key and no sig", {**PLAIN, "kid": "x"}, BOTH, UNKNOWN),
        ("a key for version 0.1 only and no sig", PLAIN, LEGACY, SHORT),
        ("no sig and a key past its time", PLAIN, EARLY, MISSING),
        ("a sig of another length and a key past its time", TOO_LONG, EARLY, LENGTH),
        ("a forgery and a key past its time", {**BY_HMAC, "seed": 43}, EARLY, MISMATCH),
    ):
        refuse(made, "Order", refusal, [(comment, members, keyring)])


def add_crafted(made: VectorFile) -> None:
    """Add signatures that one made who knows the ring and no secret."""
    covered = signing_input(BY_ED25519)
    by_public = sign_hmac(PUBLIC, covered)
    no_point = ring(ed25519_entry(public=base64_of(NO_POINT)))
    moved = ring(hmac_entry(kid="lab-1", secret=base64_of(SEED)), ed25519_entry(kid="lab-2"))
    mismatches = (
        ("a key that names no point", BY_ED25519, no_point),
        ("HMAC by the public key, twice", {**BY_ED25519, "sig": sig(by_public * 2)}, BOTH),
        ("HMAC by the public key, for an HMAC key", {**BY_ED25519, "sig": sig(by_public)}, moved),
    )
    refuse(made, "Mismatch", MISMATCH, mismatches)
    lengths = (
        ("HMAC by the public key", {**BY_ED25519, "sig": sig(by_public)}, BOTH),
        ("Ed25519 by a seed that is an HMAC secret", BY_ED25519, moved),
    )
    refuse(made, "Length", LENGTH, lengths)


def add_versions(made: VectorFile) -> None:
    """Add other versions than 1.0, to a ring that could verify any of them."""
    keyring = ring(hmac_entry(legacy=True, tenant="default"))
    for comment, members, refusal in (
        ("version 0.1 with the members of 1.0", {**BY_HMAC, "version": "0.1"}, OFF),
        ("version 0.1 and nothing else", {"version": "0.1"}, OFF),
        ("a sound record of version 0.1", signed(old(), secret=SECRET), OFF),
        ("version 1.1", {**BY_HMAC, "version": "1.1"}, UNSUPPORTED),
    ):
        refuse(made, "Version", refusal, [(comment, members, keyring)])


OFF: Final[Refusal] = ("unsupported_version", "legacy_switched_off", "version")
UNSUPPORTED: Final[Refusal] = ("unsupported_version", "unsupported_version", "version")
ANOTHER_ID: Final[Refusal] = ("pcs_id_mismatch", "pcs_id_mismatch", "pcs_id")
PAST_R: Final[Refusal] = ("invalid_record", "out_of_range", "r")
TOO_LONG: Final[Entry] = {**BY_HMAC, "sig": BY_ED25519["sig"]}


def sig(signature: bytes) -> str:
    """Return the text of a signature."""
    return base64.b64encode(signature).decode()


def add_validity(made: VectorFile, members: Entry) -> None:
    """Add a key's times on both sides of its bounds."""
    keyring = ring(
        hmac_entry(not_before="2026-11-01T00:00:00.000Z", not_after="2026-11-30T23:59:59.999Z")
    )
    refusal: Refusal = ("key_not_valid_now", "key_not_valid_now", "kid")
    for received_at, is_valid in (
        ("2026-10-31T23:59:59.999Z", False),
        ("2026-11-01T00:00:00.000Z", True),
        ("2026-11-30T23:59:59.999Z", True),
        ("2026-12-01T00:00:00.000Z", False),
    ):
        case = {**given(text(members), keyring), "received_at": received_at}
        if is_valid:
            made.valid(f"received {received_at}", "Validity", case)
        else:
            made.refused(f"received {received_at}", "Validity", case, refusal)
    for comment, bound, received_at in (
        ("before not_before alone", {"not_before": RECEIVED}, "2026-11-21T06:00:00.999Z"),
        ("after not_after alone", {"not_after": RECEIVED}, "2026-11-21T06:00:01.001Z"),
    ):
        case = {**given(text(members), ring(hmac_entry(**bound))), "received_at": received_at}
        made.refused(comment, "Validity", case, refusal)
