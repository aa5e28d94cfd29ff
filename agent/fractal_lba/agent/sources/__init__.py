"""Sources: where windows come from.

A *file source* is finite, is cut the same way each time and knows its position: ``csv_rows``,
``npy_rows``, ``byte_file``. A *live source* is sampled and cannot be read again: ``live``.
``choose`` tells from what a user wrote which of them is meant.
"""
