"""The spellings of version 0.1: what was signed, to the byte, and what one could take for it."""

import base64
import hashlib
import json
from typing import Final

from golden_vectors.generator.bodies import Members, text
from golden_vectors.generator.files import VectorFile
from golden_vectors.generator.legacy_bodies import (
    SOUND,
    ed25519_signature,
    given,
    old,
    refuse,
    signature,
    signed,
)
from golden_vectors.generator.signing import MISMATCH
from tests.oracle import legacy

# Both spellings of each number differ, and the name of the stream is beyond ASCII.
APART: Final = {"coh_star": 1.0, "r": 5e-05, "shard_id": 'S\u00fcd "7"\\ \U0001f600'}


def add_spellings(made: VectorFile) -> None:
    """Add a record in each spelling: one digest, and one text of each."""
    members = old(**APART)
    root, id_ = members["merkle_root"], members["pcs_id"]
    escaped = rb"S\u00fcd \"7\"\\ \ud83d\ude00"
    texts = [
        f'{{"D_hat":{d_hat},"budget":0.599985,"coh_star":{coh_star},"epoch":1,"merkle_root":'
        f'"{root}","pcs_id":"{id_}","r":{r},"shard_id":"'.encode()
        + escaped
        + b'"}'
        for d_hat, coh_star, r in (("1.0", "1.0", "5e-05"), ("1", "1", "0.00005"))
    ]
    stated = {
        "as_python": base64.b64encode(texts[0]).decode(),
        "as_ecmascript": base64.b64encode(texts[1]).decode(),
        "digest": hashlib.sha256(b"fractal-lba/legacy/1\n" + texts[0]).hexdigest(),
    }
    over = [hashlib.sha256(each).digest() for each in texts]
    signatures = (
        ("1 of HMAC", signature(texts[0]), "old-1"),
        ("2 of HMAC", signature(over[0]), "old-1"),
        ("3 of HMAC", signature(texts[1]), "old-1"),
        ("4 of HMAC", signature(over[1]), "old-1"),
        ("1 of Ed25519", ed25519_signature(over[0]), "old-2"),
        ("2 of Ed25519", ed25519_signature(over[1]), "old-2"),
    )
    for comment, sig, kid in signatures:
        case = given({**members, "sig": sig})
        made.valid(f"spelling {comment}", "Spelling", case, **stated, kid=kid, status=200)


def add_near_misses(made: VectorFile) -> None:
    """Add signatures over bytes that are no spelling."""
    members = old(**APART)
    python, ecmascript = legacy.as_python(members), legacy.as_ecmascript(members)
    eight = legacy.signed_members(members)
    for comment, message in (
        ("with spaces", json.dumps(eight, sort_keys=True).encode()),
        ("in the order of the body", json.dumps(eight, separators=(",", ":")).encode()),
        ("in UTF-8, as JCS", text(json.loads(ecmascript))),
        ("escapes in upper case", python.replace(rb"\u00fc", rb"\u00FC")),
        ("a solidus more", python.replace(b"/", rb"\/") + b" "),
        ("a line end", python + b"\n"),
        ("the label of the digest", b"fractal-lba/legacy/1\n" + python),
        ("the label of version 1.0", b"fractal-lba/pcs/1\n" + python),
        ("the whole record", json.dumps(members, sort_keys=True, separators=(",", ":")).encode()),
        ("its hash in hex", hashlib.sha256(python).hexdigest().encode()),
        ("hashed twice", hashlib.sha256(hashlib.sha256(python).digest()).digest()),
        ("one number of each", python.replace(b'"coh_star":1.0', b'"coh_star":1')),
        ("an exponent of one digit", python.replace(b"5e-05", b"5e-5")),
        ("epoch as 1.0", python.replace(b'"epoch":1,', b'"epoch":1.0,')),
        ("ten decimals", python.replace(b"5e-05", b"5.00000001e-05")),
    ):
        for kind, sig in (("HMAC", signature(message)), ("Ed25519", ed25519_signature(message))):
            refuse(made, f"{comment}, {kind}", "NoSpelling", {**members, "sig": sig}, MISMATCH)
    for place, message in ((1, python), (2, ecmascript)):
        plain = {**members, "sig": ed25519_signature(message)}
        refuse(made, f"Ed25519 over text {place} itself", "NoSpelling", plain, MISMATCH)
    half = {**SOUND, "sig": base64.b64encode(base64.b64decode(SOUND["sig"])[:16] * 2).decode()}
    refuse(made, "half of the tag, twice", "NoSpelling", half, MISMATCH)


def add_texts(made: VectorFile) -> None:
    """Add names and numbers whose texts are not plain."""
    for name in (
        "a/b",
        'a"b\\c',
        "\u0080",
        "\u00fc",
        "\u2028",
        "\ufffd\uffff",
        "\U0001f600",
        "\U0010ffff",
        "e\u0301",
        "a|1|b",
        "\u00fc" * 64,
    ):
        for spelling in (1, 3):
            comment = f"shard_id {ascii(name)[:24]}, spelling {spelling}"
            record = signed(old(shard_id=name), spelling)
            made.valid(comment, "Escape", given(record), status=200)
    escaped = json.dumps(signed(old(shard_id="S\u00fcd"))).encode()
    same = made.valid("the same name, escaped in the body", "Escape", given(escaped))
    plain = given(signed(old(shard_id="S\u00fcd")))
    made.valid("and as UTF-8", "Escape", plain, digest=same["digest"], stored=same["stored"])
    for number in (0, 1, 0.1, 1e-9, 1e-7, 1.5e-6, 1e-5, 9.9999e-5, 0.0001, 0.30000001, 123456.789):
        for spelling in (1, 3):
            # With budgets about the one recomputed the outcome accepts, else it escalates too.
            record = signed(old(budget=number), spelling)
            comment = f"budget {number}, spelling {spelling}"
            made.valid(comment, "NumberText", given(record), remembered=True)
    for number in (1_000_000, -1_000_000, -0.000123):
        record = signed(old(budget=number), 3)
        made.valid(f"budget {number}", "NumberText", given(record), status=202)
    for literal, is_rounded in (
        (b"0.2999999996", b"0.3"),
        (b"0.30000000049", b"0.3"),
        (b"3e-1", b"0.3"),
        (b"-0.0", b"0.0"),
        (b"-4.9e-10", b"0.0"),
        (b"5e-324", b"0.0"),
        (b"5e-10", b"1e-09"),
        (b"-5e-10", b"-1e-09"),
        (b"300000000e-9", b"0.3"),
    ):
        # The signature is that of the rounded number; the body has the literal.
        record = signed(old(budget=float(is_rounded)))
        document = text(record).replace(b'"budget":' + literal_of(record), b'"budget":' + literal)
        signed_text = base64.b64encode(legacy.as_python(record)).decode()
        case = given(document)
        made.valid(f"budget {literal.decode()}", "Rounding", case, as_python=signed_text)


def literal_of(record: Members) -> bytes:
    """Return the budget as the body has it."""
    return json.dumps(record["budget"]).encode()
