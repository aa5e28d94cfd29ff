"""Base64 with one spelling for each byte string (RFC 4648 section 4, pad bits zero)."""

import base64
import binascii

from fractal_lba.protocol.errors import ContractError


def decode_base64(text: str) -> bytes:
    """Return the bytes a standard base64 text stands for.

    Raises:
        ContractError: Another alphabet, white space, missing padding, or pad bits that are not
            zero: what `encode_base64` would not have written.
    """
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        data = b""
    # Compared as text: the decoder ignores pad bits, and so accepts four spellings of some bytes.
    if encode_base64(data) != text:
        # Raised here, since the decoder's error would carry the text, which may be a secret.
        raise ContractError("base64: expected the standard alphabet and padding, got another text")
    return data


def encode_base64(data: bytes) -> str:
    """Return the standard base64 text with padding."""
    return base64.b64encode(data).decode("ascii")
