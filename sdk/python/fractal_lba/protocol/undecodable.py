"""What msgspec raises on bytes that are not what they claim to be."""

from typing import Final

import msgspec

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Beside its own error: text that is not UTF-8, and nesting deeper than it follows."""
