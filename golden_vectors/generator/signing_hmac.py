"""HMAC-SHA256 with the whole tag: bytes in, yes or no."""

import hashlib
from typing import Final

from golden_vectors.generator.files import Note, VectorFile
from golden_vectors.generator.published_keys import RFC4231
from golden_vectors.generator.signing import MISMATCH

from fractal_lba.protocol import sign_hmac

HMAC_NOTES: Final = {
    "Rfc4231": Note(
        explanation="The test cases of the RFC. Case 5 has a tag of 128 bits, which is refused.",
        source="RFC 4231, section 4",
    ),
    "KeyLength": Note(explanation="Secrets about the block of 64 bytes: longer ones are hashed."),
    "Truncated": Note(explanation="A part of the right tag, or more than it: 32 bytes are due."),
    "Changed": Note(explanation="A bit of the tag, the message or the secret is another."),
}


def signing_hmac_file() -> VectorFile:
    """Return the cases of ``signing_hmac.json``."""
    made = VectorFile(
        name="signing_hmac",
        algorithm="HMAC-SHA256 with the whole tag of 32 bytes; the length of keys is a keyring's",
        specification="specs/pcs.md, section 2; RFC 2104",
        notes=HMAC_NOTES,
    )

    def case(comment: str, flag: str, secret: bytes, message: bytes, tag: bytes) -> None:
        given = {"secret": secret.hex(), "message": message.hex(), "tag": tag.hex()}
        # RFC 4231 has the whole tag in every case but the fifth.
        if flag == "KeyLength" or (flag == "Rfc4231" and comment != "test case 5"):
            made.valid(comment, flag, given, tag=tag.hex())
        else:
            made.refused(comment, flag, given, MISMATCH)

    for number, (key, data, published) in enumerate(RFC4231, start=1):
        case(f"test case {number}", "Rfc4231", key, data, bytes.fromhex(published))
    for length in (32, 33, 63, 64, 65, 128, 256):
        secret = bytes(range(256))[:length]
        case(f"a secret of {length}", "KeyLength", secret, b"a", sign_hmac(secret, b"a"))
    secret, message = bytes(range(32)), b"fractal"
    tag = sign_hmac(secret, message)
    for length in (0, 1, 16, 31):
        case(f"{length} bytes of the tag", "Truncated", secret, message, tag[:length])
    case("a byte too many", "Truncated", secret, message, tag + b"\0")
    case("the tag twice", "Truncated", secret, message, tag * 2)
    for place in (0, 15, 31):
        bent = bytearray(tag)
        bent[place] ^= 1
        case(f"a bit of byte {place}", "Changed", secret, message, bytes(bent))
    case("another message", "Changed", secret, b"Fractal", tag)
    case("another secret", "Changed", secret[::-1], message, tag)
    case("the secret and a letter", "Changed", secret + b"a", message, tag)
    case("zeros", "Changed", secret, message, bytes(32))
    hashed = sign_hmac(secret, hashlib.sha256(message).digest())
    case("over the hash of the message", "Changed", secret, message, hashed)
    plain = hashlib.sha256(secret + message).digest()
    case("the hash of secret and message", "Changed", secret, message, plain)
    return made
