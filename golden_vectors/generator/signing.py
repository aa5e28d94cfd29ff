"""Ed25519 under the strict rule: a key, a message and a signature in, yes or no."""

from typing import Final

from golden_vectors.generator.files import Note, Refusal, VectorFile
from golden_vectors.generator.odd_signatures import (
    SEED,
    Signed,
    changed,
    mixed,
    odd_encodings,
    small_order,
    with_small_key,
    with_small_r,
)
from golden_vectors.generator.published_keys import RFC8032

from fractal_lba.protocol import ed25519_public, sign_ed25519

MISMATCH: Final[Refusal] = ("signature_invalid", "signature_mismatch", "sig")
ED25519_NOTES: Final = {
    "Rfc8032": Note(
        explanation="The test vectors of the RFC: seed, public key, message and signature.",
        source="RFC 8032, section 7.1",
    ),
    "Sound": Note(explanation="Other signatures that hold, over messages of several lengths."),
    "Changed": Note(explanation="A sound signature with a part changed, or of another key."),
    "Length": Note(explanation="A signature or public key of another length."),
    "ScalarNotReduced": Note(
        explanation="S >= L. The equation may hold; the signature has a second form and is refused."
    ),
    "NonCanonicalKey": Note(explanation="The public key's encoding has y >= p."),
    "NonCanonicalR": Note(explanation="The encoding of R has y >= p."),
    "SmallOrderKey": Note(
        explanation="The public key is one of the 14 encodings of points of small order. The "
        "messages are chosen so that the equation holds."
    ),
    "SmallOrderR": Note(
        explanation="R is one of the 14 encodings of points of small order. The equation holds, "
        "the key having a part of order 8 that makes up for it."
    ),
    "CofactorOnly": Note(
        explanation="The equation holds only when both sides are multiplied by 8; without the "
        "cofactor it fails, and the signature is refused."
    ),
    "MixedOrder": Note(
        explanation="The key, or the key and R, have a part of small order, and the equation holds "
        "without the cofactor all the same: the signature is valid."
    ),
    "NotOnCurve": Note(explanation="Bytes that name no point of the curve."),
}


def signing_ed25519_file() -> VectorFile:
    """Return the cases of ``signing_ed25519.json``."""
    made = VectorFile(
        name="signing_ed25519",
        algorithm="Ed25519 (RFC 8032, pure) under the strict rule",
        specification="specs/pcs.md, section 2",
        notes=ED25519_NOTES,
    )

    def holds(comment: str, flag: str, signed: Signed, seed: bytes | None = None) -> None:
        stated = (
            {"public": signed[0].hex(), "signature": signed[2].hex()}
            if seed is not None
            else {"public": None, "signature": None}
        )
        made.valid(comment, flag, given_of(signed, seed), **stated)

    def fails(comment: str, flag: str, signed: Signed) -> None:
        made.refused(comment, flag, given_of(signed, None), MISMATCH)

    for name, texts in RFC8032.items():
        seed, public, message, signature = (bytes.fromhex(each) for each in texts)
        holds(name, "Rfc8032", (public, message, signature), seed)
    public = ed25519_public(SEED)
    for length in (0, 1, 31, 32, 63, 64, 111, 112, 127, 128, 1023):
        message = bytes(range(256))[:length].ljust(length, b"\xff")
        signed = (public, message, sign_ed25519(SEED, message))
        holds(f"a message of {length} bytes", "Sound", signed, SEED)
    for seed in (bytes(32), b"\xff" * 32):
        signed = (ed25519_public(seed), b"a", sign_ed25519(seed, b"a"))
        holds(f"the seed {seed[:1].hex()}…", "Sound", signed, seed)
    for comment, flag, signed in (*changed(public), *odd_encodings(public)):
        fails(comment, flag, signed)
    for place, encoding in enumerate(small_order()):
        fails(f"encoding {place} of the key", "SmallOrderKey", with_small_key(encoding))
        fails(f"encoding {place} of R", "SmallOrderR", with_small_r(encoding))
    for comment, sound, signed in mixed():
        (holds if sound else fails)(comment, "MixedOrder" if sound else "CofactorOnly", signed)
    return made


def given_of(signed: Signed, seed: bytes | None) -> dict[str, object]:
    """Return a case's input."""
    public, message, signature = signed
    return {
        "seed": None if seed is None else seed.hex(),
        "public": public.hex(),
        "message": message.hex(),
        "signature": signature.hex(),
    }
