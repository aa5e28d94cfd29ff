"""The ``fractal-lba`` command: keys, records, canonical bytes and signals, on one's own machine.

The rule: exit 0, done or valid; 1, the input was read and is refused; 2, it could not be used
(usage, a missing file, an unreadable keyring, a missing extra), with one line on standard error.
Results go to standard output, secrets nowhere. Needs the extra ``cli``.
"""
