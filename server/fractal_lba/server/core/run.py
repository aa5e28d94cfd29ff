"""A run: what is decided, and written, together.

One call takes a whole run, so that its lookups, its commit and the wait for them are shared. Each
member has an end of its own, an answer or an exception, in the order of the run.
"""

from typing import NamedTuple, TypeAlias

from fractal_lba.protocol.authenticate import Authenticated
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.entry import Entry
from fractal_lba.server.core.known import RecordKey


class Verified(NamedTuple):
    """A record to be decided: verified, and its tenant agreed on.

    ``received_ns`` is when its body was first received; ``is_recovered`` says that the body was
    left open then, and is settled only now.
    """

    authenticated: Authenticated
    received_ns: int
    is_recovered: bool = False


class NewEntry(NamedTuple):
    """An entry to be appended under a key; ``received_ns`` is of the body that brought it."""

    key: RecordKey
    entry: Entry
    received_ns: int
    is_recovered: bool = False


End: TypeAlias = Answer | Exception
"""How a record ended: with its answer, or with what it was refused for or met."""
