"""Keyring files: read with their secrets, and private files written whole.

The I/O beside `fractal_lba.protocol`, which knows what a keyring holds and reads no file.
"""

from fractal_lba.keyfile.private_files import load_keyring
from fractal_lba.keyfile.replace import Files, write_private

__all__ = ["Files", "load_keyring", "write_private"]
