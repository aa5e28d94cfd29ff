"""Keyring files: read with their secrets, and private files written whole.

The I/O beside `fractal_lba.protocol`, which knows what a keyring holds and reads no file.
"""

from fractal_lba.keyfile.private_files import load_keyring, write_private

__all__ = ["load_keyring", "write_private"]
